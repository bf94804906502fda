"""The conditions of `mnist_folds.py`: the preset `accurate` of MNIST with something changed."""

import dataclasses
import sys
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from measuring import ROOT

sys.path.insert(0, str(ROOT))

from ai_application.configs import MNIST_RECIPES
from ai_library import CNN, Classifier, Trainer, create_train_state, evaluate, fit_temperature, train_step
from ai_library.networks.architecture import POOLED
from ai_library.networks.cnn import space_to_depth
from ai_library.networks.layers import BatchNormReLU, Conv, max_pool
from ai_library.networks.network import Network, normalise

NETWORK, CONFIG = MNIST_RECIPES["accurate"]


def preset(source_of, network=NETWORK, made_optimizer=None, erase=None, seed=0, **training):
    """The classifier of the preset with other settings."""
    config = dataclasses.replace(CONFIG, seed=seed, **training)
    if erase:
        config = dataclasses.replace(config, augmentation=dataclasses.replace(config.augmentation, **erase))
    return Trainer(network, source_of(seed), config, run_dir=False, optimizer=made_optimizer, verbose=False).fit()


def with_network(source_of, **changes):
    """The classifier of the preset with other arguments of the network."""
    return preset(source_of, NETWORK.copy(**changes))


class Kernels5x5(Network):
    """A `CNN` whose first two convolutions have kernels of 5x5 cells."""

    SPLITS_BATCHES = True

    num_classes: int = NETWORK.num_classes

    @nn.compact
    def __call__(self, images, train: bool, axis_name: str | None = None):
        x = space_to_depth(images, NETWORK.patch)
        for layer, channels in enumerate(NETWORK.features):
            x = nn.Conv(channels, (5, 5), use_bias=False)(x) if layer < 2 else Conv(channels)(x, train)
            x = max_pool(x, train) if layer in POOLED else x
            x = BatchNormReLU(axis_name=axis_name)(x, train)
        x = nn.Dense(NETWORK.dense, use_bias=False)(x.reshape(len(x), -1))
        return nn.Dense(self.num_classes)(BatchNormReLU(axis_name=axis_name)(x, train))


def lookahead(schedule, period=5, share=0.5):
    """The preset's optimizer; after each `period` steps, the weights go back to `share` of the way since the last time.

    M. Zhang et al., arXiv:1907.08610.
    """
    inner = CONFIG.make_optimizer()(schedule)

    def init(params):
        return inner.init(params), jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32)

    def update(updates, state, params, **_):
        state, slow, step = state
        updates, state = inner.update(updates, state, params)
        step, fast = step + 1, optax.apply_updates(params, updates)
        meet = step % period == 0
        slow = jax.tree.map(lambda old, new: jnp.where(meet, old + share * (new - old), old), slow, fast)
        updates = jax.tree.map(lambda end, new, old: jnp.where(meet, end, new) - old, slow, fast, params)
        return updates, (state, slow, step)

    return optax.GradientTransformationExtraArgs(init, update)


def statistics_anew(source_of, seed=0):
    """The mean of the weights over the last third of the steps, with BatchNorm's statistics of all training images."""
    source, config = source_of(seed), dataclasses.replace(CONFIG, seed=seed)
    steps = CONFIG.epochs * -(-source.size("train") // CONFIG.batch_size)
    state, mean = create_train_state(NETWORK, source.image_shape, config, steps), None
    for epoch in range(CONFIG.epochs):
        for images, labels in source.batches("train", CONFIG.batch_size, epoch=epoch):
            state, _ = train_step(state, images, labels)
            averaged = int(state.step) - 2 * steps // 3
            if averaged == 1:
                mean = jax.tree.map(jnp.copy, state.params)
            elif averaged > 1:
                mean = _moved(mean, state.params, averaged)
    empty = jax.tree.map(jnp.zeros_like, state.model_state)
    batches = [_statistics(mean, empty, images) for images, _ in source.batches("train", 500)]
    # A layer adds a tenth of a batch's statistics to the running ones, which are 0 here.
    anew = jax.tree.map(lambda *of_batches: 10 * np.mean(of_batches, axis=0), *batches)
    variables = {"params": jax.tree.map(np.asarray, mean), **anew}
    classifier = Classifier(NETWORK, variables, source.class_names, source.image_shape, source.content_size)
    report = evaluate(classifier, source, "validation")
    return dataclasses.replace(classifier, temperature=fit_temperature(report.logits, report.labels))


@jax.jit
def _moved(mean, params, count):
    return jax.tree.map(lambda average, value: average + (value - average) / count, mean, params)


@jax.jit
def _statistics(params, empty, images):
    return NETWORK.apply({"params": params, **empty}, normalise(images), train=True, mutable=list(empty))[1]


def distilled(source_of, epochs=3, share=0.5):
    """A network that learns to `share` from the mean of two, each trained for half of the preset's epochs."""
    teachers = [preset(source_of, epochs=epochs, seed=seed).variables for seed in (1, 2)]

    class Student(CNN):
        SPLITS_BATCHES = True

        def __call__(self, images, train: bool, axis_name: str | None = None):
            logits = super().__call__(images, train, axis_name)
            if not train:
                return logits
            taught = [jax.nn.softmax(NETWORK.apply(teacher, images, train=False)) for teacher in teachers]
            count = len(images) * (jax.lax.axis_size(axis_name) if axis_name else 1)
            return _towards(logits, sum(taught) / len(taught), share, count)

    student = preset(source_of, Student(NETWORK.num_classes, NETWORK.features, NETWORK.dense, NETWORK.patch))
    return dataclasses.replace(student, network=NETWORK)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _towards(logits, probabilities, share, count):
    """The logits (b, classes) as they are. In place of `share` of the gradient of the loss, a mean over `count` images,
    they get that of the cross-entropy with these probabilities."""
    return logits


def _towards_forward(logits, probabilities, share, count):
    return logits, (logits, probabilities)


def _towards_gradients(share, count, kept, gradient):
    logits, probabilities = kept
    taught = (jax.nn.softmax(logits) - probabilities) / count
    return (1 - share) * gradient + share * taught, jnp.zeros_like(probabilities)


_towards.defvjp(_towards_forward, _towards_gradients)


FEWER = "55 of 60 images"
"""The condition that trains on 11 of 12 images of the other folds, as 55,000 are of the 60,000 for a refit on all."""
CONDITIONS = {  # functions of `source_of`, which gives the fold's source of a seed, to a classifier
    "Adam, 12 epochs": partial(preset, epochs=12, optimizer="adam", optimizer_arguments={}),
    "12 epochs": partial(preset, epochs=12),
    "12 epochs, rate 8e-3": partial(preset, epochs=12, learning_rate=8e-3),
    "12 epochs, erasing": partial(preset, epochs=12, erase={"erase": 0.25, "erase_side": 0.25}),
    "accurate": preset,
    "accurate, seed 1": partial(preset, seed=1),
    "accurate, seed 2": partial(preset, seed=2),
    FEWER: preset,
    "wider": partial(with_network, features=(64, 96, 128, 128, 192)),
    "whole pixels": partial(with_network, patch=1, features=(16, 32, 64, 64, 128)),
    "kernels of 5x5": partial(preset, network=Kernels5x5()),
    "lookahead": partial(preset, made_optimizer=lookahead),
    "statistics anew": statistics_anew,
    "statistics anew, seed 1": partial(statistics_anew, seed=1),
    "statistics anew, seed 2": partial(statistics_anew, seed=2),
    "distilled": distilled,
}
