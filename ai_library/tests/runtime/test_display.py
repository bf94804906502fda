"""What a training shows can fail without harm to it, and comes after what it speaks of."""

import errno
import io
import os
import signal
import sys

import numpy as np
import pytest

from ai_library import ShapeDataSource, TrainConfig, Trainer, TrainingStopped
from ai_library.runtime import display
from ai_library.tests.own_networks import Shallow
from ai_library.training.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("quickly_compiled")

CONFIG = TrainConfig(epochs=2, batch_size=8)


class Gone(io.StringIO):
    """A terminal that vanished, or what else a write to it says."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error or OSError(errno.EIO, os.strerror(errno.EIO))

    def isatty(self):
        return True

    def write(self, *_):
        raise self.error

    flush = fileno = write


def trainer(folder, **options):
    source = ShapeDataSource(image_size=16, class_names=("star", "circle"), sizes=(16, 16, 8))
    return Trainer(Shallow(num_classes=2), source, CONFIG, folder, **options)


def outputs():
    closed = io.StringIO()
    closed.close()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None, closed, Gone(), Gone(full), Gone(BrokenPipeError()), Gone(UnicodeEncodeError("ascii", "█", 0, 1, ""))


@pytest.mark.parametrize("output", outputs())
def test_a_bar_and_lines_that_cannot_be_shown_are_left_out(output, monkeypatch):
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", output)
    display.line("a line")
    with display.bar("epoch 1/1", 5, 1) as bar:
        bar.update(4)
    display.line("a line")


def test_a_bar_is_shown_on_a_terminal_alone(monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        with display.bar("epoch 1/1", 3) as bar:
            bar.update(1)
        assert ("epoch 1/1: " in sys.stderr.getvalue()) == terminal


def test_what_takes_long_is_told_in_lines_where_there_is_no_terminal(monkeypatch, capsys):
    clock = iter(np.arange(0, 1000, 0.25))
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(clock)))
    assert list(display.counted(range(200), "reading images", 200)) == [*range(200)]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading images: 2 of 200, about 50 seconds left"
    assert len(lines) == 5  # in 50 seconds
    assert lines[-1].startswith("reading images: 162 of 200")


def test_of_a_few_items_and_of_what_takes_no_time_nothing_is_told(capsys):
    assert len(list(display.counted(range(20), "reading images", 20))) == 20
    assert len(list(display.counted(range(50), "reading images", 50))) == 50
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("output", [None, Gone()])
def test_a_training_goes_on_where_its_terminal_does_not(output, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", output)
    trainer(tmp_path / "run").fit()
    assert len((tmp_path / "run/history.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_an_epochs_checkpoint_is_there_before_its_line(tmp_path, monkeypatch):
    there = []
    monkeypatch.setattr(
        display, "line", lambda _: there.append(sorted(path.stem for path in tmp_path.glob("run/checkpoints/*")))
    )
    trainer(tmp_path / "run").fit()
    assert there == [["0000000002"], ["0000000002", "0000000004"]]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["callback", "line", "log_end"])
def test_an_end_that_is_announced_comes_also_in_the_last_epoch(where, tmp_path, monkeypatch, capfd):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    callbacks = [lambda history: interrupt() if len(history) == CONFIG.epochs else None]
    if where == "line":
        monkeypatch.setattr(display, "line", lambda text: interrupt() if "epoch 2/2" in text else None)
    if where == "log_end":
        monkeypatch.setattr(RunDirectory, "log_end", interrupt)
    try:
        with pytest.raises(TrainingStopped, match="stopped by SIGINT after step 4 of 4, with a checkpoint"):
            trainer(tmp_path / "run", callbacks=callbacks if where == "callback" else ()).fit()
    finally:
        signal.signal(signal.SIGINT, before)
    assert "SIGINT: ending after a checkpoint; a second one ends at once\n" in capfd.readouterr().err
    monkeypatch.undo()
    trainer(tmp_path / "run").fit(resume=True)
