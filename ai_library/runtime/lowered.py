"""`digest`: two programs of JAX compared by what they compute, without compiling or running them."""

import hashlib
import re

import jax

_FUNCTION = re.compile(r'(?<!custom_call )@(?:"[^"]*"|[\w.$-]+)')
_DONATED = r"(?:tf\.aliasing_output = \d+ : i32|jax\.buffer_donor = true)"
_LEFT_OUT = re.compile(rf"{_DONATED}, |(?:, )?{_DONATED}|\b(?:DEFAULT|HIGH|HIGHEST)\b|\"\d{{8,}}\"")
"""What the user's settings change, which are left as they are (see `jax_settings`): `jax_debug_nans` has no array
donated, and `jax_default_matmul_precision` is about accelerators. And addresses in memory."""


def digest(program: jax.stages.Lowered) -> str:
    """A digest of 16 characters of all that a program computes: of its StableHLO.

    Comments, the names of functions and JAX's global settings do not change it; constants, and whatever the functions
    read, do. Other versions of JAX, and other numbers or kinds of devices, may give another one for the same code.
    """
    text = _LEFT_OUT.sub("", program.as_text()).replace(" {}", "")
    numbers: dict[str, str] = {}  # of its functions, as they come: their names compute nothing
    text = _FUNCTION.sub(lambda found: numbers.setdefault(found[0], f"@{len(numbers)}"), text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
