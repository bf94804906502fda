"""One training step (forward, backward, Adam; float32 parameters): ours, stock Flax, Keras on JAX and PyTorch.

Measured on three networks (see `networks.py`) and two batch sizes. Every contestant is a process of its own, set up as
its documentation advises for a CPU. All are warmed up, then take turns of about a second, round by round, while the
others sleep. A matrix product also takes turns, as the machine's peak. The share of the peak counts only the operations
of convolutions and dense layers, with direct convolutions, and the backward pass as twice the forward one.
"""

import argparse
import statistics
import sys
import time

from measuring import ROOT, Worker, best, keep, ratio, take_turns, versions_of
from networks import NETWORKS

PEAK, PEAK_SIDE = "float32 matrix product", 2048
FLAX, KERAS = "stock Flax", "Keras on JAX"
PYTORCH = {
    f"PyTorch {mode}, {precision}": (mode, precision)
    for precision in ("float32", "bfloat16")
    for mode in ("eager", "compile")
}
BARS = {  # the least ratio that is wanted, by network and peer
    ("P", "JAX"): 2.5, ("P", "PyTorch float32"): 1.3, ("P", "PyTorch bfloat16"): 1.0,
    ("default", "PyTorch float32"): 1.5, ("default", "PyTorch bfloat16"): 1.5,
}  # fmt: skip
SHARE_BARS = {"P": 0.45}
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33), "MALLOC_TOP_PAD_": str(1 << 28)
}  # fmt: skip
"""glibc then keeps freed memory, where it else gives large pieces back to the system and gets them again, page by page,
in every step. It does for every peer what PyTorch's tuning guide advises another allocator for."""


def ours(devices):
    return f"ours, {devices} device{'s' if devices > 1 else ''}"


def contestants(name, batch_size, arguments):
    """Starts them one after another; each has warmed up before the next one begins."""
    yield Worker(PEAK, "matrix_product.py", PEAK_SIDE)
    for devices in arguments.devices:
        yield Worker(ours(devices), "ours_step.py", name, batch_size, devices)
    yield Worker(FLAX, "peer_step_flax.py", name, batch_size, **KEPT_MEMORY)
    yield Worker(KERAS, "peer_step_keras.py", name, batch_size, **KEPT_MEMORY)
    for label, (mode, precision) in PYTORCH.items():
        command = "peer_step_pytorch.py", name, batch_size, mode, precision
        yield Worker(label, *command, python=arguments.pytorch, **KEPT_MEMORY)


def measure(name, batch_size, arguments):
    """({contestant: images a second of each round}, {contestant: FLOP/s over the peak's}, notes) of one case."""
    workers = []
    try:
        for worker in contestants(name, batch_size, arguments):
            workers.append(worker)
            print(f"{name}, batch {batch_size}: {worker.name} is ready", file=sys.stderr)
        rates = take_turns(workers, arguments.rounds, arguments.seconds)
    finally:
        for worker in workers:
            worker.close()
    notes = {worker.name: worker.note for worker in workers}
    peak = [products * 2 * PEAK_SIDE**3 for products in rates.pop(PEAK)]
    step_flop = 3 * NETWORKS[name].forward_flop
    images = {label: [steps * batch_size for steps in values] for label, values in rates.items()}
    shares = {label: step_flop * ratio(values, peak) for label, values in images.items()}
    return images, shares, notes, statistics.median(peak)


def table(name, batch_size, devices, images, shares, notes, peak):
    """The lines of one case: every contestant, then ours against those that the bars name."""
    winner = best(images, map(ours, devices))
    flop = NETWORKS[name].forward_flop
    lines = [
        f"network {name}, batch {batch_size}: {flop / 1e6:.1f} MFLOP an image forward, {3 * flop / 1e6:.1f} a step; "
        f"float32 matrix product {peak / 1e9:.0f} GFLOP/s",
        f"{'':<28}{'images/s':>9}{'least':>9}{'most':>9}{winner + ' is':>22}{'of the peak':>13}",
    ]
    for label, rates in sorted(images.items(), key=lambda item: -statistics.median(item[1])):
        times = f"{ratio(images[winner], rates):.2f} times"
        note = f"   {notes[label]}" if notes[label] else ""
        lines.append(
            f"{label:<28}{statistics.median(rates):>9.0f}{min(rates):>9.0f}{max(rates):>9.0f}{times:>22}"
            f"{shares[label]:>13.1%}{note}"
        )
    groups = {
        "JAX": (FLAX, KERAS),
        **{
            f"PyTorch {kind}": [label for label, (_, precision) in PYTORCH.items() if precision == kind]
            for kind in ("float32", "bfloat16")
        },
    }
    for kind, group in groups.items():
        rival = best(images, group)
        lines.append(
            f"  ours is {ratio(images[winner], images[rival]):.2f} times {rival}{_bar(BARS.get((name, kind)))}"
        )
    wanted = f", wanted {SHARE_BARS[name]:.0%}" if name in SHARE_BARS else ""
    lines.append(f"  ours reaches {shares[winner]:.1%} of the peak{wanted}")
    return [*lines, ""]


def _bar(wanted):
    return f", wanted {wanted}" if wanted else ""


def draw(cases, path):
    """One panel a case: bars of the medians, lines from the least to the most."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(2, len(cases))
    rows = -(-len(cases) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(6.4 * columns, 3.1 * rows), squeeze=False, layout="constrained")
    for axis, ((name, batch_size), images) in zip(axes.flat, cases.items(), strict=False):
        labels = sorted(images, key=lambda label: statistics.median(images[label]))
        medians = [statistics.median(images[label]) for label in labels]
        spread = [
            [median - min(images[label]) for label, median in zip(labels, medians, strict=True)],
            [max(images[label]) - median for label, median in zip(labels, medians, strict=True)],
        ]
        colours = ["#1f6f8b" if label.startswith("ours") else "#c9ced6" for label in labels]
        axis.barh(labels, medians, xerr=spread, color=colours, ecolor="#555555", error_kw={"lw": 1})
        for row, label in enumerate(labels):
            axis.text(max(images[label]), row, f"  {medians[row]:,.0f}", va="center", fontsize=9)
        axis.set_title(f"network {name}, batch {batch_size}", loc="left", fontsize=11)
        axis.set_xlim(0, 1.15 * max(map(max, images.values())))
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    for axis in axes[-1]:
        axis.set_xlabel("images a second, training")
    for axis in axes.flat[len(cases) :]:
        axis.axis("off")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="(all)")
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128], metavar="B", help="sizes (32 128)")
    parser.add_argument(
        "--devices", nargs="+", type=int, default=[1, 2, 4], metavar="D", help="that ours sees the processor as (1 2 4)"
    )
    parser.add_argument("--pytorch", default=sys.executable, metavar="PYTHON", help="with PyTorch (the one that runs)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a turn takes, about (%(default)s)")
    arguments = parser.parse_args()

    start, cases, lines = time.time(), {}, []
    for name in arguments.networks:
        for batch_size in arguments.batches:
            images, *rest = measure(name, batch_size, arguments)
            cases[name, batch_size] = images
            lines += table(name, batch_size, arguments.devices, images, *rest)
            print("\n".join(lines[-len(images) - 7 :]), flush=True)
    lines.append(f"medians of {arguments.rounds} rounds, in {(time.time() - start) / 60:.0f} minutes;")
    lines.append("in all processes glibc keeps freed memory")
    lines.append(f"PyTorch: {versions_of(arguments.pytorch, 'torch')}")
    keep("training_step", lines, "jax", "flax", "optax", "keras")
    draw(cases, ROOT / "benchmarks/results/training_step.png")


if __name__ == "__main__":
    main()
