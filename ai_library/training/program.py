"""The program of a training step, described so that a resumed run can tell whether it still computes the same."""

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import jax

from ..errors import InputError
from ..runtime.agreement import code_version, differences

_FUNCTION = re.compile(r'(?<!custom_call )@(?:"[^"]*"|[\w.$-]+)')


def described(step: jax.stages.Traced) -> dict[str, Any]:
    """Returns, as JSON values, a digest of all that a traced step computes, and what else the digest depends on.

    Comments, names of functions and values that are arguments of the step do not change it; constants and whatever the
    functions read do. It is that of the step's StableHLO, which JAX does not make a second time to compile the step.
    """
    return {
        "digest": hashlib.sha256(_without_names(step.lower().as_text()).encode()).hexdigest()[:16],
        **code_version(),
        "platform": jax.default_backend(),
        "devices": jax.device_count(),
    }


def check_same(path: Path, old: object, new: dict[str, Any]) -> None:
    """Raises `InputError` if a run began with another program than the new one.

    With other versions or devices the programs cannot be compared, and the result may not be that of an uninterrupted
    run: a warning tells it. A run of an earlier version, without a program, is not checked.
    """
    if not isinstance(old, dict) or old == new:
        return
    where = {**old, "digest": ""}, {**new, "digest": ""}
    if different := differences(*where, text="{name} was {first}, is now {second}"):
        warnings.warn(
            f"{path} goes on with other versions or devices than it began with: its result may not be, bit by bit, "
            f"that of an uninterrupted run, and a change to its code is not noticed; {different}",
            stacklevel=2,
        )
    else:
        raise InputError(
            f"{path} cannot be resumed: its training step computes something else than when the run began. The code of "
            "the network, the optimizer or the loss was changed, or a value that it reads: undo the change, or start a "
            "new run in another folder"
        )


def _without_names(text):
    """A program's text with its functions numbered as they come, since a function's name computes nothing."""
    numbers: dict[str, str] = {}
    return _FUNCTION.sub(lambda found: numbers.setdefault(found[0], f"@{len(numbers)}"), text)
