"""A run that ends too soon, in whatever way, goes on as if nothing had happened."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ai_library import InputError, ShapeDataSource, TrainConfig, Trainer, TrainingStopped, save_model
from ai_library.files import sealed_file
from ai_library.tests.own_networks import Shallow

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled")]

ROOT = Path(__file__).resolve().parents[3]
MODEL = Shallow(num_classes=2)
CONFIG = TrainConfig(epochs=2, batch_size=8, ema_decay=0.9)
STEPS, PER_EPOCH = 12, 6


@pytest.fixture(autouse=True)
def hears_signals():
    """As a process in the foreground does; one in the background may have been told to ignore them."""
    numbers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Signalling(ShapeDataSource):
    """Sends a signal while a chosen batch of the run is handed out."""

    def __init__(self, at=None, number=signal.SIGINT):
        super().__init__(image_size=16, class_names=("star", "circle"), sizes=(45, 16, 8))
        self.at, self.number = at, number

    def settings(self):
        return {**super().settings(), "source": "ShapeDataSource"}

    def batches(self, split, batch_size, epoch=None, *, first=0, **options):
        for index, batch in enumerate(super().batches(split, batch_size, epoch, first=first, **options), first):
            if split == "train" and epoch * PER_EPOCH + index == self.at:
                signal.raise_signal(self.number)
            yield batch


def left_behind(run_dir):
    """What must not depend on interruptions: the last checkpoint, the history, and the rows of the curves."""
    last = max((run_dir / "checkpoints").glob("*.msgpack"))
    rows = {}
    for split in ("train", "validation"):
        curves = EventAccumulator(str(run_dir / split))
        curves.Reload()
        for tag in ("loss", "accuracy"):
            rows[split, tag] = [(event.step, event.value) for event in curves.Scalars(tag)]
        for tag in curves.Tags()["histograms"]:
            rows[split, tag] = [(event.step, event.histogram_value.bucket) for event in curves.Histograms(tag)]
    return last.name, last.read_bytes(), (run_dir / "history.csv").read_bytes(), rows


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run") / "whole"
    return run_dir, Trainer(MODEL, Signalling(), CONFIG, run_dir).fit()


@pytest.mark.parametrize("step", range(STEPS))
def test_resumes_from_every_step_to_the_same_bits(uninterrupted, tmp_path, step):
    number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[step % 3]
    whole, classifier = uninterrupted
    with pytest.raises(TrainingStopped, match=rf"stopped by {number.name} after step {step + 1} of {STEPS}, with"):
        Trainer(MODEL, Signalling(step, number), CONFIG, tmp_path / "run").fit()
    resumed = Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit(resume=True)
    assert left_behind(tmp_path / "run") == left_behind(whole)
    assert jax.tree.all(jax.tree.map(np.array_equal, resumed.variables, classifier.variables))
    assert resumed.metrics == classifier.metrics


def test_a_run_stopped_at_every_second_step_ends_with_the_same_bits(uninterrupted, tmp_path):
    for step in range(0, STEPS - 1, 2):
        with pytest.raises(TrainingStopped):
            Trainer(MODEL, Signalling(step), CONFIG, tmp_path / "run").fit(resume=step > 0)
    Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit(resume=True)
    assert left_behind(tmp_path / "run") == left_behind(uninterrupted[0])


def test_a_second_signal_ends_at_once_and_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    source = Signalling(3)
    real = source.examples

    def twice(split, indices):
        signal.raise_signal(signal.SIGINT)
        return real(split, indices)

    source.examples = twice
    with pytest.raises(KeyboardInterrupt) as caught:
        Trainer(MODEL, source, CONFIG, tmp_path / "run").fit()
    assert not isinstance(caught.value, TrainingStopped)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_ignored_signal_stays_ignored(uninterrupted, tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Trainer(MODEL, Signalling(3), CONFIG, tmp_path / "run").fit()
    assert left_behind(tmp_path / "run") == left_behind(uninterrupted[0])


@pytest.mark.parametrize("damage", ["truncated", "bit", "empty"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(uninterrupted, tmp_path, damage):
    whole, _ = uninterrupted
    with pytest.raises(TrainingStopped):
        Trainer(MODEL, Signalling(8), CONFIG, tmp_path / "run").fit()
    newest = max((tmp_path / "run/checkpoints").glob("*.msgpack"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 8
    newest.write_bytes({"truncated": data[:1000], "bit": data, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=rf"{newest.name} is (damaged|not a checkpoint).*the checkpoint before it"):
        Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit(resume=True)
    assert left_behind(tmp_path / "run") == left_behind(whole)
    assert newest.with_suffix(".damaged").exists()


def test_with_all_checkpoints_damaged_it_ends_with_the_mend(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[0], tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").glob("*.msgpack"):
        path.write_bytes(b"AILCHECK")
    with (
        pytest.warns(UserWarning, match="is not a checkpoint"),
        pytest.raises(InputError, match="holds no checkpoint that can be read: start a new run"),
    ):
        Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit(resume=True)


def test_a_checkpoint_that_cannot_be_read_now_keeps_its_name(uninterrupted, tmp_path, monkeypatch):
    """A disk's or a network's bad moment is no damage: the run would begin anew."""

    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    shutil.copytree(uninterrupted[0], tmp_path / "run")
    before = sorted((tmp_path / "run/checkpoints").iterdir())
    monkeypatch.setattr(sealed_file, "open", fails, raising=False)
    with pytest.raises(InputError, match="cannot be read: Input/output error: make it readable, or try again"):
        Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit(resume=True)
    assert sorted((tmp_path / "run/checkpoints").iterdir()) == before


def test_a_training_whose_checkpoints_would_be_too_large_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.setattr("ai_library.files.sealed_file.MAX_ARRAYS", 1_000)
    with pytest.raises(InputError, match=r"at most 1,000 bytes, and this network needs [\d,]+: take smaller images"):
        Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit()


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run", checkpoint_seconds=0).fit()
    kept = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert kept == ["0000000010.msgpack", "0000000011.msgpack", "0000000012.msgpack"]


def test_a_finished_run_resumes_to_its_model(uninterrupted, tmp_path):
    whole, classifier = uninterrupted
    shutil.copytree(whole, tmp_path / "run")
    again = Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit(resume=True)
    save_model(tmp_path / "a.msgpack", classifier)
    save_model(tmp_path / "b.msgpack", again)
    assert (tmp_path / "a.msgpack").read_bytes() == (tmp_path / "b.msgpack").read_bytes()


def test_a_second_training_in_the_same_folder_is_refused(tmp_path):
    source = Signalling()
    real = source.batches

    def meeting(split, *arguments, **options):
        with pytest.raises(InputError, match="another process writes into .*run: wait for its end, or choose another"):
            Trainer(MODEL, Signalling(), CONFIG, tmp_path / "run").fit()
        return real(split, *arguments, **options)

    source.batches = meeting
    Trainer(MODEL, source, CONFIG, tmp_path / "run").fit()


# Trains as the module's fixture does, in one process after another. Each is a copy of this one, which has imported the
# library and computed nothing. It dies at the given call of a function on the way to the disk, or after some seconds.
CHILD = """
import json, os, signal, sys, time
from pathlib import Path
from ai_library.tests.training.test_resume import goes_on
def die_at(function, call):
    real, calls = getattr(os, function), 0
    def deadly(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(os, function, deadly)
for function, call in json.loads(sys.argv[2]):
    process = os.fork()
    if not process:
        if function:
            die_at(function, call)
        goes_on(Path(sys.argv[1]))
        os._exit(0)
    if not function:
        time.sleep(call)
        os.kill(process, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def goes_on(run_dir):
    resume = bool(list(run_dir.glob("checkpoints/*.msgpack")))
    Trainer(MODEL, Signalling(), CONFIG, run_dir, checkpoint_seconds=0).fit(resume)


def killed(run_dir, deaths):
    """How processes ended that each went on with a run until its (function, number of the call) or ("", seconds)."""
    command = [sys.executable, "-c", CHILD, run_dir, json.dumps(deaths)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_killed_at_any_call_that_writes_it_resumes_to_the_same_bits(uninterrupted, tmp_path):
    """Before a file is on the disk, before it takes its name, before its folder is, while older ones are removed."""
    deaths = [("fsync", 13), ("replace", 5), ("fsync", 8), ("unlink", 1)]
    assert killed(tmp_path / "run", deaths) == [-signal.SIGKILL] * len(deaths)
    goes_on(tmp_path / "run")
    assert left_behind(tmp_path / "run") == left_behind(uninterrupted[0])
    assert not [path for path in (tmp_path / "run/checkpoints").iterdir() if path.name.startswith(".")]


def test_killed_at_random_moments_it_resumes_to_the_same_bits(uninterrupted, tmp_path):
    rng = random.Random(time.time_ns())
    assert len(killed(tmp_path / "run", [("", rng.uniform(0, 4)) for _ in range(2)])) == 2
    goes_on(tmp_path / "run")
    assert left_behind(tmp_path / "run") == left_behind(uninterrupted[0])


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small disk with the given options."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this user or machine may not mount a disk")
        mounted.append(place)
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_on_a_full_disk_the_checkpoint_is_named_and_the_run_can_go_on(uninterrupted, disk):
    place = disk("size=4m")
    source = Signalling()
    real = source.batches

    def filling(split, batch_size, epoch=None, **options):
        if epoch == 1:
            with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as file:
                while True:
                    file.write(b"0" * 4096)
        return real(split, batch_size, epoch, **options)

    source.batches = filling
    with pytest.raises(InputError, match=r"cannot write .*disk/run.*: No space left on device; choose a place"):
        Trainer(MODEL, source, CONFIG, place / "run").fit()
    (place / "filler").unlink()
    Trainer(MODEL, Signalling(), CONFIG, place / "run").fit(resume=True)
    assert left_behind(place / "run") == left_behind(uninterrupted[0])


def test_on_a_read_only_disk_nothing_begins_and_nothing_is_lost(uninterrupted, disk):
    place = disk("size=20m")
    shutil.copytree(uninterrupted[0], place / "run")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    for run_dir, resume in (("run", True), ("new", False)):
        with pytest.raises(InputError, match=r"cannot write .*disk/.*: Read-only file system; choose a place"):
            Trainer(MODEL, Signalling(), CONFIG, place / run_dir).fit(resume)
    assert left_behind(place / "run") == left_behind(uninterrupted[0])


def test_a_full_or_read_only_disk_leaves_the_old_model(uninterrupted, disk):
    place, classifier = disk("size=64k"), uninterrupted[1]
    save_model(place / "m.msgpack", classifier)
    old = (place / "m.msgpack").read_bytes()
    (place / "filler").write_bytes(b"0" * (65536 - -(-len(old) // 4096) * 4096))
    with pytest.raises(InputError, match=r"cannot write .*m.msgpack: No space left on device"):
        save_model(place / "m.msgpack", classifier)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    with pytest.raises(InputError, match=r"cannot write .*m.msgpack: Read-only file system"):
        save_model(place / "m.msgpack", classifier)
    assert (place / "m.msgpack").read_bytes() == old
