"""JAX's global settings belong to the user's program. Data, weights, steps and predictions do not depend on them.

`settings()` holds JAX's defaults while the library computes, in this thread alone, and gives the program's own back. It
is entered where the library is called, so that tracing, compiling and running all see the same values, also within a
user's own `jax.jit`. What a user brings along and the library calls there, such as a network, an optimizer or a data
source in `Trainer.fit`, runs under these values too.

Left to the program is what changes no result here (`jax_debug_nans`, `jax_check_tracer_leaks`), and what says where and
how exactly an accelerator computes (`jax_default_device`, `jax_default_matmul_precision`).
"""

import contextlib
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

HELD: dict[Callable[..., contextlib.AbstractContextManager[None]], bool | str] = {
    jax.enable_x64: False,  # else random bits, zeros and ranges without a type of their own are twice as wide
    jax.default_prng_impl: "threefry2x32",  # another draws other numbers, and keys of another size for checkpoints
    jax.threefry_partitionable: True,  # False draws other numbers from the same key
    jax.numpy_dtype_promotion: "standard",  # "strict" refuses a sum of int32 and float32
    jax.numpy_rank_promotion: "allow",  # "raise" refuses an image plus a number for each channel
    jax.transfer_guard: "allow",  # "disallow" refuses numpy's arrays as arguments
}
"""By their context managers, each with the value that the library was made for."""


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Holds these settings in the block, or, as a decorator `@settings()`, in each call of a function.

    Not for a generator: its caller would be left with them between two items.
    """
    with contextlib.ExitStack() as stack:
        for setting, value in HELD.items():
            stack.enter_context(setting(value))
        yield


def random_key(seed: ArrayLike) -> jax.Array:
    """The key that `jax.random.key(seed)` gives under JAX's defaults. `jax_random_seed_offset` does not change it."""
    low = jnp.asarray(np.int64(seed) if isinstance(seed, int) else seed).astype(jnp.uint32)
    return jax.random.wrap_key_data(jnp.stack([jnp.zeros_like(low), low]), impl=HELD[jax.default_prng_impl])
