"""Every optimizer of optax that takes a learning rate trains and resumes, or is refused before the first step."""

import shutil
import warnings

import jax
import numpy as np
import optax
import pytest

from ai_library import (
    CNN,
    EarlyStopping,
    InputError,
    ShapeDataSource,
    TrainConfig,
    Trainer,
    create_train_state,
    train_step,
)
from ai_library.tests.own_networks import Linear, Shallow, drawn
from ai_library.training.callbacks import out_of_patience
from ai_library.training.muon import _COEFFICIENTS, muon, orthogonalised
from ai_library.training.optimizers import OneCycle, _optimizers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled", "without_curves")]

SOURCE = ShapeDataSource(image_size=16, class_names=("circle", "cross", "star"), sizes=(64, 32, 32))
REFUSED = {
    "dpsgd": "missing 3 required positional arguments",
    "lbfgs": "a training step cannot be taken",  # it evaluates the loss by itself
    "noisy_sgd": "Specifying a key will be required",
    "optimistic_adam": "deprecated",
    "rprop": "the optimizer rprop cannot begin",  # a learning rate for each weight: no schedule
    "schedule_free": "missing 1 required positional argument: 'base_optimizer'",
    "sm3": "cannot be made",  # no schedule
    "sophia": "a training step cannot be taken",
}


def config(**changes):
    return TrainConfig(epochs=2, batch_size=16, **changes)


def trains_and_resumes(folder, **changes):
    """Whether a run goes on from what it had written after its first epoch to the bits that it had at its end."""
    more = {"optimizer": changes.pop("function")} if "function" in changes else {}

    def keep(history):
        if len(history) == 1:
            shutil.copytree(folder / "whole", folder / "half")

    network = changes.pop("network", Linear(3))

    def trainer(name, **options):
        return Trainer(network, SOURCE, config(**changes), folder / name, verbose=False, **more, **options)

    whole = trainer("whole", callbacks=[keep], checkpoint_seconds=0).fit()
    halfway = trainer("half")
    resumed = halfway.fit(resume=True)
    assert len(halfway.history) == 2
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)
    return True


@pytest.mark.parametrize("name", sorted(_optimizers()))
def test_every_optimizer_trains_and_resumes_or_is_refused(name, tmp_path):
    if name in REFUSED:
        with pytest.raises(InputError, match=REFUSED[name]), warnings.catch_warnings(action="error"):
            Trainer(Linear(3), SOURCE, config(optimizer=name), tmp_path / "run").fit()
        assert not list(tmp_path.glob("run/checkpoints/*"))
    else:
        assert trains_and_resumes(tmp_path, optimizer=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer_arguments": {"mu_dtype": "bfloat16"}},
        {"optimizer": "muon", "network": Shallow(3)},  # has a convolution
        {"optimizer": "adamw", "optimizer_arguments": {"weight_decay": 1e-2}, "clip_norm": 0.1},
        {"function": optax.lion},
        {"function": lambda schedule: optax.chain(optax.clip(1.0), optax.sgd(schedule, momentum=0.9))},
        {"function": lambda schedule: optax.MultiSteps(optax.adam(schedule), every_k_schedule=3)},
        {"class_weights": "balanced"},
        {"class_weights": (1, 2, 0)},
    ],
)
def test_arguments_and_functions_train_and_resume(changes, tmp_path):
    assert trains_and_resumes(tmp_path, **changes)


def test_an_update_every_k_steps_is_as_large_as_the_rate_that_is_reported():
    """As the docstring of `Trainer` says: within MultiSteps an optimizer counts its updates, not the run's steps."""
    k = 4

    def optimizer(schedule):
        return optax.MultiSteps(optax.sign_sgd(lambda count: schedule(k * count + k - 1)), k)

    images, labels = SOURCE.examples("train", range(16))
    state = create_train_state(Linear(3), (16, 16, 1), config(learning_rate=0.1), 6 * k, optimizer=optimizer)
    for step in range(1, 6 * k + 1):
        before = np.array(state.params["Dense_0"]["bias"])
        state, metrics = train_step(state, images, labels)
        wanted = metrics["learning_rate"] if step % k == 0 else 0
        np.testing.assert_allclose(np.abs(state.params["Dense_0"]["bias"] - before), wanted, rtol=1e-3, atol=1e-7)


def test_muon_turns_the_steps_of_convolutions_into_orthogonal_ones_as_large_as_adams():
    rate = 1e-2
    network = CNN(num_classes=3, features=(8, 8, 8, 8, 8), dense=8)
    weights, gradients = (drawn(network, (16, 16, 1), seed)["params"] for seed in range(2))
    gradients["Conv_1"]["kernel"] *= np.logspace(0, -3, 8, dtype=np.float32)  # a step that is far from orthogonal
    taken = {}
    for name in ("muon", "nadam"):
        optimizer = TrainConfig(optimizer=name).make_optimizer()(lambda step: rate)
        taken[name] = jax.jit(optimizer.update)(gradients, optimizer.init(weights), weights)[0]
    step = np.asarray(taken["muon"]["Conv_1"]["kernel"])
    sizes = np.linalg.svd(step.reshape(-1, 8), compute_uv=False)
    assert sizes.max() < 4 * sizes.min()
    assert 0.5 * rate < np.sqrt((step**2).mean()) < 1.5 * rate
    for layer in ("Dense_0", "Dense_1", "BatchNorm_1"):
        jax.tree.map(
            lambda ours, adams: np.testing.assert_allclose(ours, adams, rtol=1e-5),
            *(taken[name][layer] for name in taken),
        )


@pytest.mark.parametrize("steps", [1, 5])
def test_muon_orthogonalises_as_newton_and_schulz_do_in_float64(steps):
    rng, kinds = np.random.default_rng(0), []
    for rows, columns in ((144, 16), (9, 32), (64, 64), (144, 64), (160, 128), (200, 160), (130, 160)):
        matrix = rng.normal(size=(rows, columns))
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        one_sided = left * np.logspace(0, -6, len(values)) @ right  # hardly anything in most directions
        kinds.append([matrix, one_sided, 1e-4 * one_sided, 1e6 * matrix])
    program = jax.jit(orthogonalised, static_argnums=1)
    constant, linear, quadratic = _COEFFICIENTS
    for matrices in zip(*kinds, strict=True):  # of each kind, one of every shape
        matrices = [np.float32(matrix) for matrix in matrices]
        *ours, of_zeros = program([*matrices, np.zeros((9, 8), np.float32)], steps)
        for matrix, step in zip(matrices, ours, strict=True):
            x = matrix / np.linalg.norm(matrix.astype(float))
            for _ in range(steps):
                a = x @ x.T
                x = constant * x + (linear * a + quadratic * a @ a) @ x
            np.testing.assert_allclose(step, x, atol=2e-3 * np.abs(x).max())
        np.testing.assert_array_equal(of_zeros, 0)


def test_a_run_with_muon_takes_optaxs_steps_within_rounding():
    shapes = (3, 3, 16, 8), (3, 3, 8, 16), (24, 8), (8,)
    weights = [np.zeros(shape, np.float32) for shape in shapes]
    as_matrix = optax.contrib.MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)
    numbers = [as_matrix if len(shape) == 4 else None for shape in shapes]
    optaxs = optax.contrib.muon(1e-2, beta=0.6, muon_weight_dimension_numbers=numbers, consistent_rms=1.0)
    last = []
    for optimizer in (muon(1e-2, beta=0.6), optaxs):
        update, state = jax.jit(optimizer.update), optimizer.init(weights)
        for step in range(30):  # optax corrects the first momenta for their beginning at zero, ours does not
            rng = np.random.default_rng(step)
            gradients = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
            taken, state = update(gradients, state, weights)
        last.append(taken)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *last)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adm"}, "optimizer must be one of .*adam.*, got 'adm'"),
        ({"optimizer": None}, "optimizer must be one of"),
        ({"optimizer_arguments": {"decay": 1}}, "optimizer_arguments of adam must be among b1, .*, got 'decay'"),
        ({"optimizer_arguments": {"learning_rate": 1}}, "must be among .* got 'learning_rate'"),
        ({"optimizer_arguments": {"b1": np.zeros(1)}}, "optimizer_arguments must be a dictionary of numbers"),
        (
            {"optimizer": "muon", "optimizer_arguments": {"ns_steps": 6}},
            "ns_steps of muon must be .* from 1 to 5, got 6",
        ),
        ({"optimizer": "muon", "optimizer_arguments": {"ns_steps": 2.5}}, "ns_steps of muon must be .*, got 2.5"),
        ({"clip_norm": 0}, "clip_norm must be None, or positive and finite, got 0"),
        ({"class_weights": "even"}, "class_weights must be None, 'balanced' or a weight for each class, got 'even'"),
        ({"class_weights": (0, 0)}, "class_weights must be"),
        ({"augmentation": "flip"}, "augmentation must be an Augmentation, got 'flip'"),
        ({"learning_rate": "high"}, "learning_rate must be positive and finite, got 'high'"),
    ],
)
def test_settings_that_cannot_be_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize("steps", [20, 313])
@pytest.mark.parametrize("warmup", [0.1, 0.25, 0.5])
def test_the_schedule_is_optaxs_one_cycle(steps, warmup):
    wanted = optax.cosine_onecycle_schedule(steps, 4e-3, warmup, div_factor=10)
    ours, every = OneCycle.of(4e-3, warmup, steps), np.arange(314)  # also beyond the last step
    np.testing.assert_allclose(jax.vmap(ours)(every), jax.vmap(wanted)(every), rtol=1e-4, atol=1e-9)


def test_early_stopping_waits_for_an_improvement():
    rows = [{"validation_loss": loss} for loss in (3.0, 2.0, 2.5, 1.9, 2.0, 1.95, 1.9)]
    ends = [EarlyStopping(patience=3)(rows[: count + 1]) for count in range(len(rows))]
    assert ends == [False] * 6 + [True]
    assert EarlyStopping(patience=2, least=0.5)(rows[:4])
    with pytest.raises(InputError, match="metric must be one of"):
        EarlyStopping(metric="loss")


def test_patience_ends_with_neither_loss_nor_accuracy_getting_better():
    def ends(losses, accuracies, patience=3):
        rows = [
            {"validation_loss": loss, "validation_accuracy": accuracy}
            for loss, accuracy in zip(losses, accuracies, strict=True)
        ]
        return out_of_patience(rows, patience)

    assert ends([1, 1, 1, 1], [0.5] * 4)
    assert ends([1, 0.999, 0.998, 0.997], [0.5] * 4)  # creeps
    assert not ends([1, 0.9, 0.8, 0.7], [0.5] * 4)
    assert not ends([1, 2, 3, 4], [0.5, 0.6, 0.7, 0.8])
    assert not ends([1, 1, 1], [0.5] * 3)
    assert not ends([1] * 99, [0.5] * 99, patience=None)
    with pytest.raises(InputError, match="patience must be a whole number from 1"):
        TrainConfig(patience=0)
