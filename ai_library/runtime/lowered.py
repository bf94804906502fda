"""`digest`: two programs of JAX compared by what they compute, without compiling or running them."""

import hashlib
import re

import jax

_CONSTANT = re.compile(r'"0x[0-9A-F]{64,}"')
_DONATED = r"(?:tf\.aliasing_output = \d+ : i32|jax\.buffer_donor = true)"
_PRECISION = r"\b(?:DEFAULT|HIGH|HIGHEST)\b|, algorithm = <[^>]*>"
_LEFT_OUT = re.compile(rf"{_DONATED}, |(?:, )?{_DONATED}|{_PRECISION}|\"\d{{8,}}\"")
"""What settings change that are left to the user's program (see `jax_settings`): `jax_debug_nans` has no array donated,
and `jax_default_matmul_precision` is about accelerators. And addresses in memory."""
_FUNCTION = re.compile(r'(?<!custom_call )@(?:"[^"]*"|[\w.$-]+)')


def digest(program: jax.stages.Lowered) -> str:
    """A digest of 16 characters of what a program computes: of its StableHLO.

    Constants, and whatever the functions read, change it. Comments and the names of functions do not, nor does the
    precision of products on accelerators, nor what a callback to Python computes. Other versions of JAX, and other
    numbers or kinds of devices, may give another one for the same code.
    """
    text = _CONSTANT.sub(lambda found: _sha256(found[0]), program.as_text())  # else large ones take seconds
    text = _LEFT_OUT.sub("", text).replace(" {}", "")
    numbers: dict[str, str] = {}  # of its functions, as they come: their names compute nothing
    return _sha256(_FUNCTION.sub(lambda found: numbers.setdefault(found[0], f"@{len(numbers)}"), text))[:16]


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
