"""The program of a training step, described so that a resumed run can tell whether it still computes the same."""

import warnings
from pathlib import Path
from typing import Any

import jax

from ..errors import InputError
from ..runtime.agreement import code_version, differences
from ..runtime.lowered import digest


def described(step: jax.stages.Traced) -> dict[str, Any]:
    """Returns, as JSON values, a digest of all that a traced step computes, and what else the digest depends on.

    Where steps are taken one by one, JAX does not lower the step a second time to compile it.
    """
    return {
        "digest": digest(step.lower()),
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
