"""A study ends the same however often it is broken off, and says what it found."""

import csv
import io
import json
import logging
import signal
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from ai_library import ArrayDataSource, Condition, InputError, Study, TrainConfig, TrainingStopped, evaluate
from ai_library.files.folder_lock import locked
from ai_library.laboratory import study as study_module
from ai_library.tests.own_networks import Linear
from ai_library.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quickly_compiled")

LABELS = np.arange(48) % 3
IMAGES = np.random.default_rng(0).integers(0, 120, (48, 8, 8, 1)).astype(np.uint8)
IMAGES[LABELS == 1, :4] += 60
IMAGES[LABELS == 2, :, :4] += 60
arrays = partial(ArrayDataSource, **dict.fromkeys(("train", "validation", "evaluation"), (IMAGES, LABELS)))
CONFIG = TrainConfig(epochs=1, batch_size=16)


def condition(network=Linear(3), source=arrays, **changes):
    return Condition(network=network, source=source, config=TrainConfig(**{"epochs": 1, "batch_size": 16, **changes}))


CONDITIONS = {"plain": condition(), "fast": condition(learning_rate=0.05), "smoothed": condition(label_smoothing=0.2)}


TWO = {name: CONDITIONS[name] for name in ("plain", "fast")}


def made(folder, conditions=CONDITIONS, seeds=2, **more):
    return Study(conditions, seeds, folder, **{"checkpoint_seconds": 0.0, "verbose": False, **more})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a study that was never broken off."""
    folder = tmp_path_factory.mktemp("study") / "whole"
    made(folder).run()
    return folder


def table(folder):
    return (folder / "runs.csv").read_bytes()


def first_seed(whole, conditions):
    """The table of a study of some of the conditions with one seed, out of that of the whole."""
    begins = ("condition,", *(f"{name},0," for name in conditions))
    return b"".join(line for line in table(whole).splitlines(keepends=True) if line.decode().startswith(begins))


@pytest.mark.slow
def test_there_is_a_row_for_each_run_in_the_order_of_the_grid(whole):
    rows = [*csv.DictReader(io.StringIO(table(whole).decode()))]
    assert [(row["condition"], row["seed"]) for row in rows] == [
        (name, str(seed)) for name in CONDITIONS for seed in (0, 1)
    ]
    assert {row["outcome"] for row in rows} == {"done"}
    study = made(whole)
    results = study.results()
    report = evaluate(study.classifier("fast", 1), arrays(seed=1))
    assert float(rows[3]["accuracy"]) == report.accuracy == results.values("fast")[1]
    assert float(rows[3]["log_loss"]) == report.log_loss
    assert len({row["log_loss"] for row in rows}) == 6  # other seeds and other conditions are other runs
    assert len(results.comparisons) == 3


class StopError(Exception):
    pass


def interrupt(monkeypatch, owner, name, count):
    """Lets a function run so many times, and then ends what calls it, after the call or before."""
    original, calls = getattr(owner, name), []

    def counted(*given, **more):
        calls.append(name)
        if len(calls) == count:
            raise StopError
        return original(*given, **more)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "count"),
    [
        (Trainer, "_read", 2),  # in the middle of an epoch, with a checkpoint
        (Trainer, "_end_epoch", 2),
        (study_module, "evaluate", 2),  # trained, but not evaluated
        (study_module, "write_bytes", 5),
    ],
)
def test_a_study_that_is_broken_off_ends_with_the_same_table(tmp_path, whole, monkeypatch, owner, name, count):
    with monkeypatch.context() as patch:
        interrupt(patch, owner, name, count)
        with pytest.raises(StopError):
            made(tmp_path / "broken", TWO, 1).run()
    assert table(tmp_path / "broken") != first_seed(whole, TWO)
    made(tmp_path / "broken", TWO, 1).run()
    assert table(tmp_path / "broken") == first_seed(whole, TWO)


@pytest.mark.slow
def test_a_signal_ends_it_with_a_checkpoint_from_which_it_goes_on(tmp_path, whole, monkeypatch):
    with monkeypatch.context() as patch:
        read, sent = Trainer._read, []

        def signalled(*given):
            read(*given)
            if not sent:
                sent.append(signal.raise_signal(signal.SIGTERM))

        patch.setattr(Trainer, "_read", signalled)
        with pytest.raises(TrainingStopped, match="with a checkpoint in"):
            made(tmp_path / "broken", TWO, 1).run()
    assert [*(tmp_path / "broken").glob("runs/*/*/training/checkpoints/*.msgpack")]
    assert not [*(tmp_path / "broken").glob("runs/*/*/lock")]
    made(tmp_path / "broken", TWO, 1).run()
    assert table(tmp_path / "broken") == first_seed(whole, TWO)


@pytest.mark.slow
def test_parts_are_disjoint_and_make_the_whole(tmp_path, whole):
    done = [len(made(tmp_path / "parts", seeds=1).run((part, 2)).runs) for part in (1, 2)]
    assert done == [2, 3]
    assert table(tmp_path / "parts") == first_seed(whole, CONDITIONS)
    with pytest.raises(InputError, match=r"i from 1 to n, got \(5, 4\)"):
        made(tmp_path / "parts").run((5, 4))


@pytest.mark.slow
def test_a_run_that_another_process_has_is_left_to_it(tmp_path, whole):
    with locked(tmp_path / "shared/runs/fast/seed-0"):
        results = made(tmp_path / "shared", TWO, 1).run()
        assert [*results.runs] == [("plain", 0)]
        assert "1 run of 2 not finished yet" in str(results)
    made(tmp_path / "shared", TWO, 1).run()
    assert table(tmp_path / "shared") == first_seed(whole, TWO)


@pytest.mark.slow
def test_a_run_that_another_process_finishes_in_the_meantime_is_in_the_table(tmp_path, whole, monkeypatch):
    made(tmp_path / "shared", TWO, 1).run((1, 2))
    study, other = made(tmp_path / "shared", TWO, 1), made(tmp_path / "shared", TWO, 1)
    write, begun = study_module.write_bytes, []

    def slow(path, data):
        if path.name == "runs.csv" and not begun:
            begun.append(path)
            other.run((2, 2))
        write(path, data)

    monkeypatch.setattr(study_module, "write_bytes", slow)
    study.run((1, 2))
    assert table(tmp_path / "shared") == first_seed(whole, TWO)


@pytest.mark.slow
def test_a_finished_study_trains_nothing_and_may_grow(tmp_path, whole, monkeypatch):
    made(tmp_path / "grown", {"plain": CONDITIONS["plain"]}, 1).run()
    before = (tmp_path / "grown/runs/plain/seed-0/result.json").stat().st_mtime_ns
    made(tmp_path / "grown", {"plain": CONDITIONS["plain"]}, 2).run()
    made(tmp_path / "grown", TWO, 2).run((1, 2))
    assert (tmp_path / "grown/runs/plain/seed-0/result.json").stat().st_mtime_ns == before
    assert table(tmp_path / "grown") == b"".join(table(whole).splitlines(keepends=True)[:3])
    monkeypatch.setattr(Trainer, "fit", None)
    assert len(made(whole).run().runs) == 6


@pytest.mark.slow
def test_another_study_in_the_folder_is_refused_by_name(whole):
    other = {**CONDITIONS, "fast": condition(learning_rate=0.06)}
    with pytest.raises(InputError, match="fast.train.learning_rate was 0.05, is now 0.06; choose another folder"):
        made(whole, other).run()
    changed = partial(arrays, evaluation=(IMAGES[:24], LABELS[:24]))
    other = {**CONDITIONS, "fast": condition(learning_rate=0.05, source=changed)}
    with pytest.raises(InputError, match="another study: .*source.contents.evaluation was"):
        made(whole, other).run()
    with pytest.raises(InputError, match="also has smoothed"):
        made(whole, TWO).run()
    with pytest.raises(InputError, match=r"with the seeds \[0, 1\], got \[1, 2\]"):
        made(whole, seeds=[1, 2]).run()
    with pytest.raises(InputError, match="split was"):
        made(whole, split="validation").run()


@pytest.mark.slow
def test_other_seeds_and_rates_compile_nothing_again(tmp_path, caplog):
    rates = {name: condition(learning_rate=rate) for name, rate in (("slow", 0.001), ("fast", 0.02))}
    study = made(tmp_path / "study", rates, 2)
    study.run((1, 4))
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        study.run()
        assert [record.message for record in caplog.records if "XLA compilation" in record.message] == []
        jax.jit(lambda x: x + 11)(1.0)  # which shows that it would be told
    assert any("XLA compilation" in record.message for record in caplog.records)


@pytest.mark.slow
def test_a_run_that_diverges_is_a_row_and_the_others_go_on(tmp_path):
    wild = replace(condition(), loss=lambda logits, labels: logits[:, 0] / 0)
    results = made(tmp_path / "study", {"wild": wild, "plain": condition()}, 1).run()
    assert results.runs["wild", 0]["outcome"] == "diverged"
    assert "the loss is" in results.runs["wild", 0]["error"]
    assert b"wild,0,diverged,," in table(tmp_path / "study")
    assert len(results.values("plain")) == 1


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "end.", "=1+1"])
def test_a_name_that_is_no_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="the name of a condition must be letters"):
        made(tmp_path, {name: CONDITIONS["plain"]})


def test_what_cannot_be_a_study_is_refused(tmp_path):
    for wrong, told in (
        ({"conditions": {}}, "one condition or more"),
        ({"conditions": {"a": CONDITIONS["plain"], "A": CONDITIONS["plain"]}}, "more than upper case"),
        ({"seeds": [1, 1]}, "each once"),
        ({"seeds": 0}, "seeds must be a whole number from 1"),
        ({"metric": "speed"}, "metric must be one of accuracy"),
        ({"baseline": "none"}, "baseline must be one of plain, fast"),
    ):
        with pytest.raises(InputError, match=told):
            made(tmp_path, **wrong)


@pytest.mark.slow
def test_a_damaged_result_is_named(tmp_path, whole):
    study = made(tmp_path / "study", seeds=1)
    (tmp_path / "study/runs/plain/seed-0").mkdir(parents=True)
    (tmp_path / "study/runs/plain/seed-0/result.json").write_text("{")
    with pytest.raises(InputError, match="result.json is damaged: remove it"):
        study.results()
    assert json.loads((whole / "study.json").read_text())["seeds"] == [0, 1]
