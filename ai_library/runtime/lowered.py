"""`digest`: two programs of JAX compared by what they compute, without compiling or running them."""

import hashlib
import re

import jax

_FUNCTION = re.compile(r'(?<!custom_call )@(?:"[^"]*"|[\w.$-]+)')


def digest(program: jax.stages.Lowered) -> str:
    """A digest of 16 characters of all that a program computes: of its StableHLO.

    Comments and the names of functions do not change it; constants, and whatever the functions read, do. Other versions
    of JAX, and other numbers or kinds of devices, may give another one for the same code.
    """
    numbers: dict[str, str] = {}  # of its functions, as they come: their names compute nothing
    text = _FUNCTION.sub(lambda found: numbers.setdefault(found[0], f"@{len(numbers)}"), program.as_text())
    return hashlib.sha256(text.encode()).hexdigest()[:16]
