"""Optimizers by name, with the learning rate schedule in their state.

An optimizer here is a function from a schedule, (step) -> learning rate, to an optax transformation: `optax.lion` is
one, and so is `lambda schedule: optax.chain(optax.clip(1.0), optax.sgd(schedule, momentum=0.9))`.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from ..errors import InputError
from .muon import muon

Optimizer = Callable[[optax.Schedule], optax.GradientTransformation]

_LOWEST = 10, 1e5
"""The divisors of the highest learning rate at the first and at the last step."""


@flax.struct.dataclass
class OneCycle:
    """The one-cycle schedule: the learning rate rises and falls once, by half cosines (Smith, arXiv:1803.09820).

    Its fields are arrays, so that one compiled step serves all schedules.
    """

    highest: jax.Array
    warmup: jax.Array
    """Share of the steps before the highest learning rate."""
    steps: jax.Array
    """Number of steps of the whole run."""

    @classmethod
    def of(cls, highest: float, warmup: float, steps: int) -> "OneCycle":
        """Makes a schedule from the highest learning rate, the fraction of steps before it, and the number of steps."""
        return cls(jnp.float32(highest), jnp.float32(warmup), jnp.int32(steps))

    def __call__(self, step: ArrayLike) -> jax.Array:
        """The learning rate float32 at a step, counted from 0."""
        peak = jnp.floor(self.warmup * self.steps)
        up = jnp.clip(step / jnp.maximum(peak, 1), 0, 1)
        down = jnp.clip((step - peak) / jnp.maximum(self.steps - peak, 1), 0, 1)
        first, last = self.highest / _LOWEST[0], self.highest / _LOWEST[1]
        rising = first + (self.highest - first) * _half_cosine(up)
        falling = last + (self.highest - last) * _half_cosine(1 - down)
        return jnp.where(step < peak, rising, falling).astype(jnp.float32)


def _half_cosine(share):
    return (1 - jnp.cos(jnp.pi * share)) / 2


@dataclass(frozen=True)
class NamedOptimizer:
    """An optimizer of optax by its name and its arguments. Equal names and arguments make equal objects.

    Raises `InputError` if the name is not that of an optimizer with a learning rate, or an argument is unknown.
    """

    name: str
    arguments: str = "{}"

    def __post_init__(self) -> None:
        if self.name not in _optimizers():
            raise InputError(f"optimizer must be one of {', '.join(sorted(_optimizers()))}, got {self.name!r}")
        arguments, taken = json.loads(self.arguments), inspect.signature(_optimizers()[self.name]).parameters
        for argument in arguments:
            if argument not in taken or argument == "learning_rate":
                others = ", ".join(name for name in taken if name != "learning_rate")
                raise InputError(f"optimizer_arguments of {self.name} must be among {others}, got {argument!r}")
        try:
            self(lambda step: 1e-3)
        except Exception as error:  # whatever optax raises is about the arguments
            raise InputError(
                f"optimizer {self.name} cannot be made with {arguments}: {type(error).__name__}: {error}"
            ) from error

    def __call__(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """The optax transformation that follows a schedule."""
        return _optimizers()[self.name](learning_rate=schedule, **json.loads(self.arguments))


@lru_cache
def _optimizers() -> dict[str, Callable[..., optax.GradientTransformation]]:
    """The functions of optax and optax.contrib that make an optimizer from a learning rate, by name."""
    found: dict[str, Callable[..., optax.GradientTransformation]] = {}
    for module in (optax.contrib, optax):
        for name, function in vars(module).items():
            made_from_another = isinstance(function, partial)  # such as nadam
            if name.startswith(("_", "scale_by_")) or not (inspect.isfunction(function) or made_from_another):
                continue
            if "learning_rate" in inspect.signature(function).parameters:
                found[name] = function
    return {**found, "muon": muon}


class ScheduledState(NamedTuple):
    """The schedule and the state of the optimizer that follows it."""

    schedule: OneCycle
    inner: Any


def scheduled(optimizer: Optimizer, clip_norm: float | None) -> optax.GradientTransformationExtraArgs:
    """The transformation of an optimizer, with the schedule in its state: see `TrainState.with_schedule`.

    It is the same object for equal named optimizers, so that one compiled program serves all learning rates. Other
    functions are not kept, as each serves one run (see `OwnFunction`).
    """
    make = _scheduled_once if isinstance(optimizer, NamedOptimizer) else _scheduled
    return make(optimizer, clip_norm)


def _scheduled(optimizer, clip_norm) -> optax.GradientTransformationExtraArgs:

    def made(schedule):
        inner = optimizer(schedule)
        clipped = optax.chain(optax.clip_by_global_norm(clip_norm), inner) if clip_norm is not None else inner
        return optax.with_extra_args_support(clipped)

    def init(params) -> Any:
        schedule = OneCycle.of(0.0, 0.5, 1)
        return ScheduledState(schedule, made(schedule).init(params))

    def update(updates, state, params=None, **extra) -> tuple[Any, Any]:
        updates, inner = made(state.schedule).update(updates, state.inner, params, **extra)
        return updates, ScheduledState(state.schedule, inner)

    return optax.GradientTransformationExtraArgs(init, update)


_scheduled_once = lru_cache(_scheduled)
