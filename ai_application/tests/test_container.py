"""The container, built from a fresh clone of the current commit and run by a real Docker engine."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TAG = f"ai-application-under-test-{os.getpid()}"
RESULTS = {"predictions.csv", "metrics.json", "confusion_matrix.png", "report.html"}
LOCKED = ("--network=none", "--read-only", "--user=12345:12345")
OWN = ("--network=none", "--read-only", f"--user={os.getuid()}:{os.getgid()}")  # where folders are left to clean up


def docker(*arguments):
    """Runs docker; returns its exit status and what it printed, standard output and standard error."""
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def build(clone, tag=TAG):
    return docker("build", "--force-rm", "--tag", tag, clone)


def jax_of(image):
    """The version of JAX in an image."""
    status, output, errors = docker("run", "--rm", image, "python", "-c", "import jax; print(jax.__version__)")
    assert status == 0, errors
    return output.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    if not shutil.which("docker") or docker("info")[0]:
        pytest.skip("no Docker engine answers")
    if (ROOT / "ai_library/.git").exists():
        pytest.skip("the library is a submodule here")
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    path = tmp_path_factory.mktemp("container") / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, path], check=True)
    return path


@pytest.fixture(scope="module")
def image(clone):
    """The image of the fresh clone, removed at the end."""
    status, output, errors = build(clone)
    assert status == 0, output + errors
    yield TAG
    docker("image", "rm", "--force", TAG)


@pytest.fixture
def results(tmp_path):
    """A folder that any user may write to, as /results wants it."""
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def test_it_predicts_the_committed_shapes_without_network_or_rights(image, results):
    status, output, errors = docker("run", "--rm", *LOCKED, f"--volume={results}:/results", image)
    assert status == 0, errors
    assert {path.name for path in results.iterdir()} == RESULTS
    metrics = json.loads((results / "metrics.json").read_text())
    assert metrics["n"] == 450
    assert metrics["accuracy"] >= 0.985
    assert "mnist.npz is not there" in output


def test_with_mnist_prepared_its_figures_are_those_outside_the_container(
    image, clone, results, tmp_path, mnist_data_dir
):
    tag, digits = f"{TAG}-mnist", clone / "ai_application/evaluation/mnist.npz"
    export = [sys.executable, "scripts/export_mnist.py", f"--data-dir={mnist_data_dir}"]
    subprocess.run(export, cwd=clone, check=True)
    try:
        status, output, errors = build(clone, tag)
        assert status == 0, output + errors
        status, _, errors = docker("run", "--rm", *OWN, f"--volume={results}:/results", tag)
        assert status == 0, errors
        subprocess.run(
            [sys.executable, "scripts/predict.py", f"--output={tmp_path / 'outside'}"], cwd=clone, check=True
        )
    finally:
        digits.unlink()
        docker("image", "rm", "--force", tag)
    for name in ("metrics.json", "mnist/metrics.json"):
        inside, outside = (results / name).read_bytes(), (tmp_path / "outside" / name).read_bytes()
        if jax_of(image) == jax.__version__:
            assert inside == outside
        else:  # another compiler rounds otherwise: the counts are the same, and the rest but for that
            (found, found_tree), (wanted, wanted_tree) = (jax.tree.flatten(json.loads(it)) for it in (inside, outside))
            assert found_tree == wanted_tree
            for value, other in zip(found, wanted, strict=True):
                assert value == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other)
    assert json.loads((results / "mnist/metrics.json").read_text())["n"] == 10_000


def test_a_users_own_images_are_predicted(image, results, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    committed = sorted((ROOT / "ai_application/evaluation/shapes").rglob("*.png"))[:5]
    for number, path in enumerate(committed):
        shutil.copy(path, images / f"{number}.png")
    tmp_path.chmod(0o755)
    volumes = (f"--volume={images}:/images:ro", f"--volume={results}:/results")
    status, _, errors = docker("run", "--rm", *LOCKED, *volumes, image, "--data", "/images")
    assert status == 0, errors
    assert len((results / "predictions.csv").read_text().splitlines()) == 1 + len(committed)


def test_it_serves_without_rights_and_ends_with_status_0(image):
    name = f"{TAG}-serving"
    ask = (
        "import sys, urllib.request; body = sys.stdin.buffer.read() or None; "
        "print(urllib.request.urlopen(sys.argv[1], body).read().decode())"
    )
    status, _, errors = docker("run", "--detach", "--name", name, *LOCKED, image, "serve")
    assert status == 0, errors
    try:
        within = ["docker", "exec", "--interactive", name, "python", "-c", ask]
        for _ in range(100):
            ready = subprocess.run([*within, "http://127.0.0.1:8000/v2/health/ready"], input=b"", capture_output=True)
            if ready.returncode == 0:
                break
            time.sleep(0.2)
        file = (ROOT / "ai_application/evaluation/shapes/star/00007.png").read_bytes()
        answer = subprocess.run([*within, "http://127.0.0.1:8000/predict/shapes"], input=file, capture_output=True)
        assert json.loads(answer.stdout)["class"] == "star", answer.stderr
        assert docker("stop", "--time=20", name)[0] == 0
        assert docker("inspect", "--format={{.State.ExitCode}}", name)[1].strip() == "0"
        assert docker("logs", name)[1].startswith("serving shapes on http://0.0.0.0:8000\n")
    finally:
        docker("rm", "--force", name)


def test_it_trains(image, results):
    small = ("--epochs=1", "--network.features", *"44444", "--network.dense=8")
    train = ("python", "scripts/train_shapes.py", *small, "--model=/results/m.msgpack", "--run-dir=/results/run")
    status, output, errors = docker("run", "--rm", *OWN, f"--volume={results}:/results", image, *train)
    assert status == 0, errors
    assert "accuracy" in output
    assert {path.name for path in results.iterdir()} == {"m.msgpack", "run"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no folder is mapped to /results"),
        (("--volume={tmp_path}:/results:ro",), "/results cannot be written"),
        (("--volume={tmp_path}:/results",), "/results cannot be written by user 12345"),
        (("--mount=type=tmpfs,destination=/results,tmpfs-size=8192,tmpfs-mode=0777",), "No space left on device"),
        (
            ("--volume={results}:/results", "--volume={tmp_path}/damaged:/app/ai_application/models/shapes.msgpack:ro"),
            "shapes.msgpack is damaged, its digest does not match",
        ),
    ],
    ids=["not mapped", "read-only", "not writable", "full", "damaged model"],
)
def test_what_is_at_fault_ends_with_one_line_and_status_1(image, results, tmp_path, options, message):
    model = bytearray((ROOT / "ai_application/models/shapes.msgpack").read_bytes())
    model[-1000] ^= 1
    (tmp_path / "damaged").write_bytes(model)
    tmp_path.chmod(0o755)
    options = [option.format(tmp_path=tmp_path, results=results) for option in options]
    status, _, errors = docker("run", "--rm", *LOCKED, *options, image)
    assert status == 1
    *progress, error = errors.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert all(line.startswith("predicting: ") for line in progress)  # where that takes its time


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "error: ai_application/models/mnist.msgpack cannot be read: No such file"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "error: ai_application/models/mnist.msgpack is a Git LFS pointer",
        ),
    ],
    ids=["missing", "pointer"],
)
def test_the_build_ends_where_a_model_is_no_model(image, clone, content, message):
    model = clone / "ai_application/models/mnist.msgpack"
    whole = model.read_bytes()
    model.unlink()
    try:
        if content:
            model.write_bytes(content)
        status, output, errors = build(clone, f"{TAG}-broken")
    finally:
        model.write_bytes(whole)
        docker("image", "rm", "--force", f"{TAG}-broken")
    assert status != 0
    assert message in output + errors


def test_a_change_of_the_code_installs_no_dependency_again(image, clone):
    def layers(tag):
        return json.loads(docker("image", "inspect", "--format={{json .RootFS.Layers}}", tag)[1])

    script, tag = clone / "scripts/predict.py", f"{TAG}-changed"
    code = script.read_text()
    try:
        script.write_text(code + "\n# changed\n")
        status, output, errors = build(clone, tag)
        assert status == 0, output + errors
        kept = [old == new for old, new in zip(layers(image), layers(tag), strict=True)]
    finally:
        script.write_text(code)
        docker("image", "rm", "--force", tag)
    changed_layers = 3  # the scripts, the application, and the check of its models
    assert all(kept[:-changed_layers])
    assert not kept[-changed_layers]


def test_it_holds_no_tests_no_git_and_no_caches(image):
    look = (
        "find /app -name tests -o -name .git -o -name publish_repos.py",
        "find / -xdev -path '*/.cache/pip'",
        "command -v git",
        "true",
    )
    status, output, errors = docker("run", "--rm", "--user=0", "--entrypoint=sh", image, "-c", "; ".join(look))
    assert (status, output, errors) == (0, "", "")
