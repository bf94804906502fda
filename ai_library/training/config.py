"""`TrainConfig`: the settings of a training run, beside its network and its data."""

import json
import math
from dataclasses import dataclass, field
from typing import Literal

from ..data.augmentation import Augmentation
from ..errors import InputError, plain_number, whole_number
from .optimizers import NamedOptimizer

_MOST = 2**31 - 1  # JAX counts in int32


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a training run. Numbers of numpy and JAX are stored as Python's.

    >>> TrainConfig(epochs=4, optimizer="sgd", optimizer_arguments={"momentum": 0.9}).optimizer
    'sgd'

    Args:
        epochs: Passes over the training images.
        patience: The training ends after this many epochs in which neither loss nor accuracy on the validation split
            improved; see `out_of_patience`. None: it runs all epochs.
        batch_size: Images of one step. A small batch stays in a CPU's cache, and makes more steps of an epoch, so that
            fewer epochs are needed.
        learning_rate: The highest learning rate. The schedule reaches it after `warmup` and decays to nearly 0 by a
            cosine.
        warmup: Share of the steps before the highest learning rate, in (0, 1).
        optimizer: Name of an optimizer in `optax` or `optax.contrib` that takes a learning rate. "muon" is Muon for the
            kernels of convolutions, with steps as large as Adam's (`consistent_rms=1`), and "nadam" for other weights.
        optimizer_arguments: Its other arguments: numbers, strings, True or False.
        clip_norm: Largest global norm of the gradient; a larger gradient is scaled down to it. None: no clipping.
        class_weights: Weight of each class's loss, a number per class. "balanced": 1 / (the class's fraction of the
            training images * the number of classes). None: all are 1.
        label_smoothing: Fraction of each label that is spread evenly over all classes, in [0, 1).
        ema_decay: Decay of the exponential moving average of the weights, in [0, 1). After t steps it is at most
            (1 + t) / (10 + t), which forgets the first weights sooner: 0.999 is reached after 9,000 steps. Validation
            and the trained classifier use the average. 0: they use the weights of the last step.
        augmentation: Random changes to training images; validation and evaluation images are not changed.
        final_augmentation: Strength of the augmentation at the last step, as a fraction. It decreases from the middle
            of the run on, so that the network ends on images close to real ones.
        freeze: Number of layers that are not trained, counted from the first in the order of the network's call;
            layers without weights do not count. Their BatchNorm keeps its statistics and normalises by them. They
            return what they do in prediction, so dropout or augmentation that a network has before or in them is off.
        precision: Type in which the network computes during training: "float32", or "bfloat16" for GPUs, where it takes
            about half of the time and memory. Weights, updates and predictions are always float32.
        seed: Seed of the initial weights, the augmentation and dropout, from 0 to 2**32 - 1.

    Raises:
        InputError: A value is no number or out of its range; the message names it.
    """

    epochs: int = 1
    patience: int | None = None
    batch_size: int = 64
    learning_rate: float = 4e-3
    warmup: float = 0.25
    optimizer: str = "adam"
    optimizer_arguments: dict[str, int | float | bool | str] = field(default_factory=dict, hash=False)
    clip_norm: float | None = None
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    augmentation: Augmentation = Augmentation()
    final_augmentation: float = 1.0
    freeze: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        wholes = {"epochs": (1, _MOST), "batch_size": (1, _MOST), "freeze": (0, _MOST), "seed": (0, 2**32 - 1)}
        for name, bounds in wholes.items():
            self._set(name, whole_number(name, getattr(self, name), *bounds))
        if self.patience is not None:
            self._set("patience", whole_number("patience", self.patience, 1, _MOST))
        self._number("learning_rate", lambda rate: 0 < rate < math.inf, "be positive and finite")
        self._number("warmup", lambda share: 0 < share < 1, "be between 0 and 1")
        for name in ("label_smoothing", "ema_decay"):
            self._number(name, lambda share: 0 <= share < 1, "be at least 0 and below 1")
        self._number("final_augmentation", lambda share: 0 <= share <= 1, "be from 0 to 1")
        if self.clip_norm is not None:
            self._number("clip_norm", lambda norm: 0 < norm < math.inf, "be None, or positive and finite")
        self._check("precision", self.precision in ("float32", "bfloat16"), "be 'float32' or 'bfloat16'")
        self._check("augmentation", isinstance(self.augmentation, Augmentation), "be an Augmentation")
        self._check_class_weights()
        self._check_optimizer()

    def _check_class_weights(self):
        weights = self.class_weights
        if weights is None or (isinstance(weights, str) and weights == "balanced"):
            return
        listed = isinstance(weights, (tuple, list)) or getattr(weights, "ndim", 0) == 1
        numbers = tuple(float(plain_number(weight)) for weight in weights) if listed else ()
        holds = all(0 <= number < math.inf for number in numbers) and any(numbers)
        self._check("class_weights", holds, "be None, 'balanced' or a weight for each class")
        self._set("class_weights", numbers)

    def _check_optimizer(self):
        arguments = self.optimizer_arguments
        try:
            listed = isinstance(arguments, dict) and json.loads(json.dumps(arguments)) == arguments
        except (TypeError, ValueError):
            listed = False
        self._check("optimizer_arguments", listed, "be a dictionary of numbers, texts, True and False")
        self._set("optimizer_arguments", dict(arguments))
        self.make_optimizer()

    def make_optimizer(self) -> NamedOptimizer:
        """Returns the named optimizer: a function from a learning rate schedule to an optax transformation."""
        return NamedOptimizer(self.optimizer, json.dumps(self.optimizer_arguments, sort_keys=True))

    def _number(self, name, holds, must):
        """Checks a number, and stores it as a plain one."""
        number = plain_number(getattr(self, name))
        self._check(name, holds(number), must)
        self._set(name, number)

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _check(self, name, holds, must):
        if not holds:
            raise InputError(f"{name} must {must}, got {getattr(self, name)!r}")
