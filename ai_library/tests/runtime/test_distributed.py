"""Several processes train, evaluate and predict as one does, end together, and go on from where they ended."""

import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ai_library.runtime import distributed
from ai_library.tests.processes import Process, begun, ended, free_port
from ai_library.tests.several_processes import STEPS, Noise

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled")]

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
BOUND_SECONDS = 60
"""In which the others end once one of the processes is gone."""


def weights(folder, run, process=0):
    with np.load(folder / f"{run}-{process}.npz") as file:
        return list(file.values())


def bits(folder, run, process=0):
    return b"".join(array.tobytes() for array in weights(folder, run, process))


def steps_of(run_dir):
    """The step of a run's newest checkpoint; 0 where there is none."""
    return max((int(path.stem) for path in run_dir.glob("checkpoints/0*.msgpack")), default=0)


def distance(first, second, run, other_run=None):
    """The largest difference of any weight or statistic of two runs."""
    pairs = zip(weights(first, run), weights(second, other_run or run), strict=True)
    return max(np.abs(one - other).max() for one, other in pairs)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 10,007 images as an npz file, which no number of processes here divides, and with 801 as files,
    in groups of a class, some of them broken."""
    folder = tmp_path_factory.mktemp("runs")
    images, labels = Noise().examples("evaluation", range(10_007))
    np.savez(folder / "images.npz", images=images, labels=labels)
    for index in range(801):
        path = folder / "images" / Noise().class_names[labels[index]] / str(index // 90) / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index].squeeze()).save(path)
        if index % 37 == 5:
            path.write_bytes(path.read_bytes()[:50])
    return folder


@pytest.fixture(scope="module")
def trained(data):
    """A folder with the runs of 1 process with 1 device ("1x1"), 1 with 2 ("1x2"), 2 with 1 and 3 with 1. All but the
    last have also stopped and gone on, and those of "1x1" and "2x1" have gone on where two processes were `killed`,
    which before were told that they are `unlike`. All but "1x2" have predicted the `data`."""
    folder = data
    victims = begun("without_curves unlike killed", folder / "killed", 2)
    told = [victims[1].communicate()[1]]
    start = time.monotonic()
    told.insert(0, victims[0].communicate()[1])
    (folder / "end").write_text(f"{victims[1].returncode} {victims[0].returncode} {time.monotonic() - start}")
    for process, lines in enumerate(told):
        (folder / f"told{process}").write_text(lines)
    for name in ("1x1", "2x1"):
        shutil.copytree(folder / "killed/killed", folder / name / "killed")
    ended(
        *begun("train predict train_double", folder / "1x1", 1),
        *begun("without_curves train train_double", folder / "1x2", 1, "--devices", 2),
    )
    ended(*begun("train predict", folder / "2x1", 2))
    ended(*begun("train_once predict", folder / "3x1", 3))
    return folder


@pytest.fixture(scope="module")
def bound(trained):
    """How far apart two runs may end because float32 sums were added up in another order.

    Runs of the same training on another number of devices add up the same numbers: the gradients, BatchNorm's moments,
    the loss. Two orders of a sum of n numbers differ by at most 2 (n - 1) u times the sum of their magnitudes, where
    u = 2^-24 is float32's unit of rounding (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2). To
    first order in u the weights at the end then differ by K u; K is how the whole training amplifies such differences,
    Adam's division by small gradients above all, and does not depend on u. So the same training in float64, where
    u = 2^-53, tells K: it is 2 on a machine where the runs in float32 are 2 u apart. It counts as no less, which is the
    distance of neighbouring numbers from 1 to 2.

    Roundings are not the same ones in both, so that 8 times as much is allowed. That this is far less than what a wrong
    sum would do, `test_in_double_precision_devices_do_not_change_the_weights` shows.
    """
    return 8 * max(distance(trained / "1x1", trained / "1x2", "double") / 2**-53, 2) * 2**-24


def test_in_double_precision_devices_do_not_change_the_weights(trained):
    """A gradient or a moment of a part of the batch, or another augmentation, would show in the third decimal."""
    assert distance(trained / "1x1", trained / "1x2", "double") < 1e-10


@pytest.mark.parametrize("layout", ["1x2", "2x1", "3x1"])
def test_devices_and_processes_train_the_same_weights_but_for_rounding(trained, bound, layout):
    assert distance(trained / "1x1", trained / layout, "whole") <= bound


def test_two_processes_give_the_bits_of_one_with_two_devices(trained):
    assert bits(trained / "1x2", "whole") == bits(trained / "2x1", "whole")
    # each may go on with the other's run
    assert len({(trained / layout / "whole/config.json").read_text() for layout in ("1x2", "2x1")}) == 1


@pytest.mark.skipif(len(CORES) < 2, reason="one process with two devices needs two cores")
def test_two_processes_with_a_core_each_train_the_default_network_to_the_bits_of_one_with_two(tmp_path):
    ended(*begun("without_curves default_network", tmp_path / "1x2", 1, "--cores", *CORES[:2]))
    (tmp_path / "2x1").mkdir()
    meeting = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2, "--process"]
    ended(
        *(
            Process("without_curves default_network", tmp_path / "2x1", *meeting, process, "--cores", CORES[process])
            for process in range(2)
        )
    )
    assert bits(tmp_path / "1x2", "run") == bits(tmp_path / "2x1", "run")


@pytest.mark.parametrize(("layout", "processes"), [("2x1", 2), ("3x1", 3)])
def test_all_processes_hold_the_same_bits(trained, layout, processes):
    assert len({bits(trained / layout, "whole", process) for process in range(processes)}) == 1


def test_only_the_first_process_writes(trained):
    for layout in ("1x1", "2x1"):
        written = {path.name for path in (trained / layout / "whole").iterdir()}
        assert written == {"checkpoints", "config.json", "history.csv", "train", "validation"} | {
            path.name for path in (trained / layout / "whole").glob("events*")
        }
        assert len(list((trained / layout / "whole/train").iterdir())) == 1
    histories = [(trained / layout / "whole/history.csv").read_text() for layout in ("1x2", "2x1")]
    assert histories[0] == histories[1]


def test_a_signal_to_one_process_stops_all_at_one_step_and_they_go_on_to_the_same_bits(trained):
    for layout, processes in (("1x1", 1), ("1x2", 1), ("2x1", 2)):
        for process in range(processes):
            assert bits(trained / layout, "stopped", process) == bits(trained / layout, "whole")


def test_a_killed_process_ends_the_other_with_a_line(trained):
    killed, status, seconds = (trained / "end").read_text().split()
    assert (int(killed), int(status)) == (-signal.SIGKILL, 1)
    assert float(seconds) < BOUND_SECONDS
    assert (trained / "told0").read_text().splitlines()[-1] == (
        "error: process 1 of 2 is gone or cannot be reached, so that this one ends: start all of them again; resumed, "
        "a training goes on from its last checkpoint"
    )


def test_a_run_whose_process_was_killed_goes_on_with_one_process_and_with_two(trained, bound):
    assert 0 < steps_of(trained / "killed/killed") < STEPS
    assert bits(trained / "2x1", "killed") == bits(trained / "2x1", "whole")
    assert distance(trained / "1x1", trained / "2x1", "killed", "whole") <= bound


def test_evaluation_and_predictions_do_not_depend_on_the_number_of_processes(trained):
    written = []
    for layout, processes in (("1x1", 1), ("2x1", 2), ("3x1", 3)):
        folder = trained / layout
        metrics = {(folder / f"metrics-{process}.json").read_text() for process in range(processes)}
        assert len(metrics) == 1
        results = sorted(folder.glob("of */*"))
        written.append((metrics, [path.name for path in results], [path.read_bytes() for path in results]))
    assert written[0][1] == 2 * ["confusion_matrix.png", "metrics.json", "predictions.csv", "report.html"]
    assert [data.count(b"\n") for data in written[0][2][2::4]] == [802, 10_008]
    assert written[0] == written[1] == written[2]


def test_what_one_process_has_of_its_own_and_what_cannot_be_divided_is_named_by_all_before_they_begin(trained):
    alike = "all processes need the same code, model, data and settings, but process 1 of 2 differs from the first:"
    digests = r'"[0-9a-f]{16}" in the first and "[0-9a-f]{16}" in the other'
    wanted = [
        rf"settings: {alike} train.seed is 0 in the first and 1 in the other",
        rf"images: {alike} source.contents.validation is {digests}",
        rf"model: {alike} model is {digests}",
        rf"data: {alike} data is {digests}",
        rf"classes: {alike} data is {digests}; model.class_names is .*c0.* in the first and .*c1.* in the other",
        r"missing: (process 0 of 2 says: )?FOLDER/data./1.png does not exist: name an image, a folder of images, .*",
        r"output: (process 1 of 2 says: )?FOLDER/out1 is not where the first process writes: all need one folder, .*",
        r"no folder: cannot write FOLDER/file: .*; choose a place that can be written to",
        r"undivided: batch_size=17 cannot be divided among 2 processes: choose a number of processes that divides it",
    ]
    for process in range(2):
        lines = (trained / f"told{process}").read_text().splitlines()[: len(wanted)]
        for line, pattern in zip(lines, wanted, strict=True):
            assert re.fullmatch(pattern, line)
    left = {path.name for path in (trained / "killed").iterdir()}
    assert left == {"data0", "data1", "file", "killed", "out0"}


@pytest.fixture
def machines(tmp_path):
    """Two network namespaces, joined by a link as two machines by a cable: a prefix for commands in each, and a
    function that cuts the link."""
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("network namespaces need root, ip and unshare")
    names = [f"ai{os.getpid()}{letter}" for letter in "ab"]
    addresses = ["10.77.0.1", "10.77.0.2"]
    (tmp_path / "hosts").write_text(
        "127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for a, n in zip(addresses, names, strict=True))
    )

    def ip(*arguments):
        return subprocess.run(["ip", *arguments], capture_output=True, text=True)

    try:
        for name in names:
            if (done := ip("netns", "add", name)).returncode:
                pytest.skip(f"this machine has no network namespaces: {done.stderr}")
        done = ip("link", "add", names[0], "netns", names[0], "type", "veth", "peer", names[1], "netns", names[1])
        assert done.returncode == 0, done.stderr
        prefixes = []
        for name, address in zip(names, addresses, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", name)
            for link in ("lo", name):
                ip("-n", name, "link", "set", link, "up")
            inside = f'hostname {name} && mount --bind "{tmp_path}/hosts" /etc/hosts && exec "$@"'
            prefixes.append(["ip", "netns", "exec", name, "unshare", "--uts", "--mount", "sh", "-c", inside, "sh"])
        yield names, prefixes, lambda: ip("-n", names[0], "link", "set", names[0], "down")
    finally:
        for name in names:
            ip("netns", "delete", name)


def test_two_machines_train_together_and_a_cut_link_ends_both(machines, tmp_path):
    names, prefixes, cut = machines
    meeting = ["--coordinator", f"{names[0]}:5000", "--processes", 2, "--process"]
    running = [
        Process("without_curves endless", tmp_path, "--heartbeat", 5, *meeting, process, prefix=prefix)
        for process, prefix in enumerate(prefixes)
    ]
    try:
        while not steps_of(tmp_path / "endless") > STEPS:
            assert [process.poll() for process in running] == [None, None]
            time.sleep(0.1)
        cut()
        for process in running:
            errors = process.communicate(timeout=BOUND_SECONDS)[1]
            assert process.returncode == 1
            assert "is gone or cannot be reached, so that this one ends: start all" in errors.splitlines()[-1]
    finally:
        for process in running:
            process.kill()


@given(st.integers(0, 5000), st.integers(1, 9))
def test_shares_are_whole_blocks_and_together_everything(n, processes):
    shares = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "process_count", lambda: processes)
        for process in range(processes):
            patch.setattr(distributed, "process_index", lambda process=process: process)
            shares.append(distributed.shard(n, 64))
    assert [index for share in shares for index in share] == list(range(n))
    assert all(share.start % 64 == 0 for share in shares if share)
    assert max(map(len, shares)) - min(map(len, shares)) < 128
