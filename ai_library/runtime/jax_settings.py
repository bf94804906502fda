"""Makes data, weights, steps and predictions independent of JAX's global settings, which belong to the user's program.

`settings()` sets JAX's defaults while the library computes, in this thread only, and restores the program's settings
afterwards. It is entered at the library's entry points, so that tracing, compilation and execution see the same values,
also within a user's `jax.jit`. A user's network, optimizer or data source, called by `Trainer.fit`, runs under these
values too.

Some settings are left to the program: those that change no result here (`jax_debug_nans`, `jax_check_tracer_leaks`),
and those of an accelerator (`jax_default_device`, `jax_default_matmul_precision`).
"""

import contextlib
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

HELD: dict[Callable[..., contextlib.AbstractContextManager[None]], bool | str] = {
    jax.enable_x64: False,  # True makes random bits, zeros and ranges without a dtype 64 bits wide
    jax.default_prng_impl: "threefry2x32",  # others draw other numbers, with keys of other sizes in checkpoints
    jax.threefry_partitionable: True,  # False draws other numbers from the same key
    jax.numpy_dtype_promotion: "standard",  # "strict" refuses a sum of int32 and float32
    jax.numpy_rank_promotion: "allow",  # "raise" refuses an image plus a number for each channel
    jax.transfer_guard: "allow",  # "disallow" refuses numpy's arrays as arguments
}
"""The context manager of each setting, with the value that the library needs."""


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Holds these settings within the block, or, as a decorator `@settings()`, within each call of a function.

    It must not decorate a generator: the caller would have these settings between two items.
    """
    with contextlib.ExitStack() as stack:
        for setting, value in HELD.items():
            stack.enter_context(setting(value))
        yield


def random_key(seed: ArrayLike) -> jax.Array:
    """The key that `jax.random.key(seed)` gives under JAX's defaults. `jax_random_seed_offset` does not change it."""
    low = jnp.asarray(np.int64(seed) if isinstance(seed, int) else seed).astype(jnp.uint32)
    return jax.random.wrap_key_data(jnp.stack([jnp.zeros_like(low), low]), impl=HELD[jax.default_prng_impl])
