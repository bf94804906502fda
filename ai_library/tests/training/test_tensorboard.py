"""TensorBoard's own server finds what a run wrote, interrupted or not."""

import io
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image

from ai_library import ShapeDataSource, TrainConfig, Trainer
from ai_library.tests.own_networks import Shallow
from ai_library.training.optimizers import OneCycle

pytestmark = pytest.mark.usefixtures("quickly_compiled")

CONFIG = TrainConfig(epochs=3, batch_size=8, learning_rate=5e-3, ema_decay=0.9)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, resumed once more at its end, and a function that asks a server about it."""
    run_dir = tmp_path_factory.mktemp("board") / "runs" / "shapes"
    source = ShapeDataSource(image_size=16, class_names=("star", "circle"), sizes=(165, 16, 8))
    trainer = Trainer(Shallow(num_classes=2), source, CONFIG, run_dir)
    trainer.fit()
    trainer.fit(resume=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", run_dir.parent, "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--host", "localhost", "--load_fast=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ask(page, body=None, **query):
        address = f"http://localhost:{port}/data/{page}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return content if page.endswith("individualImage") else json.loads(content)

    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if "shapes/validation" in ask("plugin/images/tags") and "shapes" in ask("runs"):
                    break
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.3)
        yield trainer, ask
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
def test_curves_of_training_and_validation_share_their_charts(run):
    trainer, ask = run
    tags = ask("plugin/scalars/tags")
    assert {"loss", "accuracy"} <= tags["shapes/train"].keys() & tags["shapes/validation"].keys()
    rows = ask("plugin/scalars/scalars", run="shapes/validation", tag="loss")
    assert [step for _, step, _ in rows] == [row["step"] for row in trainer.history]
    np.testing.assert_allclose(
        [value for *_, value in rows], [row["validation_loss"] for row in trainer.history], rtol=1e-6
    )
    trained = ask("plugin/scalars/scalars", run="shapes/train", tag="learning_rate")
    assert [step for _, step, _ in trained] == list(range(0, 63, 10))
    wanted = [OneCycle.of(5e-3, CONFIG.warmup, 63)(step) for step in range(0, 63, 10)]
    np.testing.assert_allclose([value for *_, value in trained], wanted, rtol=1e-6)


@pytest.mark.slow
def test_images_are_those_of_the_source(run):
    trainer, ask = run
    (image,) = ask("plugin/images/images", run="shapes/train", tag="samples", sample=0)
    with Image.open(
        io.BytesIO(ask("plugin/images/individualImage", **dict(urllib.parse.parse_qsl(image["query"]))))
    ) as picture:
        found = np.asarray(picture.convert("L"))
    wanted, _ = trainer.source.example("train", 0)
    np.testing.assert_array_equal(found[:16, :16], wanted[..., 0])
    matrices = ask("plugin/images/images", run="shapes/validation", tag="confusion_matrix", sample=0)
    assert [matrix["step"] for matrix in matrices] == [row["step"] for row in trainer.history]


@pytest.mark.slow
def test_weights_have_their_histograms(run):
    trainer, ask = run
    tags = ask("plugin/histograms/tags")["shapes/validation"]
    assert {"Conv_0/kernel", "BatchNormReLU_1/scale", "Dense_1/bias"} <= tags.keys()
    rows = ask("plugin/histograms/histograms", run="shapes/validation", tag="Conv_0/kernel")
    assert [step for _, step, _ in rows] == [row["step"] for row in trainer.history]
    assert sum(count for *_, count in rows[-1][2]) == pytest.approx(3 * 3 * 4)


@pytest.mark.slow
def test_the_table_of_runs_has_settings_and_final_metrics(run):
    trainer, ask = run
    request = {
        "startIndex": 0,
        "sliceSize": 10,
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        "colParams": [],
    }
    (group,) = ask("plugin/hparams/session_groups", request)["sessionGroups"]
    assert group["hparams"]["train.learning_rate"] == 5e-3
    assert group["hparams"]["network.arguments.num_classes"] == 2
    assert group["hparams"]["source.class_names"] == '["star", "circle"]'
    (session,) = group["sessions"]
    assert session["status"] == "STATUS_SUCCESS"
    found = {value["name"]["tag"]: value["value"] for value in session["metricValues"]}
    chosen = trainer._chosen_row()
    for name in ("validation_accuracy", "validation_loss", "temperature"):
        assert found[name] == pytest.approx(chosen[name], rel=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
def test_weights_without_elements_have_no_histogram(tmp_path):
    class Empty(nn.Module):
        num_classes: int

        @nn.compact
        def __call__(self, images, train: bool):
            empty = self.param("empty", nn.initializers.zeros, (0,))
            return nn.Dense(self.num_classes)(images.reshape(len(images), -1)) + empty.sum()

    source = ShapeDataSource(image_size=16, class_names=("circle", "cross"), sizes=(32, 32, 32))
    Trainer(Empty(2), source, TrainConfig(batch_size=16), tmp_path, verbose=False).fit()
    assert [*tmp_path.glob("validation/events*")]
