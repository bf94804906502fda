"""What a run computes, described so that a resumed run can tell whether it still computes the same."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax

from ..errors import InputError
from ..networks.initial import is_own
from ..networks.network import prediction_digest
from ..runtime.agreement import code_version, differences
from ..runtime.lowered import digest

if TYPE_CHECKING:
    from .step import TrainState


def described(
    step: jax.stages.Traced, state: "TrainState", model: nn.Module, image_shape: Sequence[int], optimizer: object
) -> dict[str, Any]:
    """Returns, as JSON values, digests of what a run computes, and what else these depend on.

    They are those of a traced step, of the predictions of a network of the user's own, by which epochs are chosen, and
    of the state in which an `optimizer` of the user's own begins, which may hold settings; None: there is none. Where
    steps are taken one by one, JAX does not lower the step a second time to compile it.
    """
    trained = jax.eval_shape(state.frozen.trained, state.params)
    return {
        "step": digest(step.lower()),
        "prediction": prediction_digest(model, image_shape) if is_own(model) else None,
        "optimizer": digest(jax.jit(state.tx.init).lower(trained)) if optimizer is not None else None,
        **code_version(),
        "platform": jax.default_backend(),
        "devices": jax.device_count(),
        "jit": not jax.config.jax_disable_jit,  # pyright: ignore[reportAttributeAccessIssue] - untyped in JAX 0.10
    }


def check_same(path: Path, old: object, new: dict[str, Any]) -> None:
    """Raises `InputError` if a run began with another program than the new one.

    With other versions or devices the programs cannot be compared, and the result may not be that of an uninterrupted
    run; nor can they be where the run does not tell its program. A warning says so.
    """
    if not isinstance(old, dict):
        warnings.warn(f"{path} does not tell what its training step computed: the same is assumed", stacklevel=2)
        return
    old = {"optimizer": new.get("optimizer"), **old}  # earlier versions did not tell it
    digests = {"step": "", "prediction": "", "optimizer": ""}
    if different := differences({**old, **digests}, {**new, **digests}, "{name} was {first}, is now {second}"):
        warnings.warn(
            f"{path} goes on with other versions or devices than it began with: its result may not be, bit by bit, "
            f"that of an uninterrupted run, and a change to its code is not noticed; {different}",
            stacklevel=2,
        )
    elif old != new:
        raise InputError(
            f"{path} cannot be resumed: it computes something else than when it began. The code of the network, the "
            "optimizer or the loss was changed, or a value that it reads, such as a number of steps: undo the change, "
            "or start a new run in another folder"
        )
