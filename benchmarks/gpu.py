"""Training and prediction on a GPU: this library beside PyTorch, on the same networks and images.

Each contestant is a process of its own; they take turns of about a second, round by round. "drawn" trains on shapes
that are drawn on the device, for which PyTorch has no counterpart; "arrays" trains on images in the device's memory.
"""

import argparse
import statistics
import subprocess
import sys

from gpu_networks import CASES, PREDICTED, STEPS
from measuring import Worker, keep, take_turns

TORCH_MODES = "eager", "compile", "reduce-overhead"
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def contestants(name, batch_size, what, few):
    """(name, command) of each contestant."""
    ours = [("drawn", "bfloat16"), ("arrays", "bfloat16")]
    more = [("drawn", "float32"), ("arrays", "float32"), ("host", "bfloat16")]
    if what == "train":
        for images, precision in [*ours, *([] if few else more)]:
            if images != "drawn" or CASES[name].data == "shapes":
                yield f"ours, {images}, {precision}", ("gpu_ours.py", name, batch_size, precision, images)
        for mode in ("eager", "reduce-overhead") if few else TORCH_MODES:
            yield f"PyTorch {mode}, bfloat16", ("gpu_peer_pytorch.py", name, batch_size, "bfloat16", mode, "arrays")
    else:
        for images in ("predict", "resident"):
            where = "from the host" if images == "predict" else "on the device"
            yield f"ours, {where}", ("gpu_ours.py", name, batch_size, "float32", images)
            for mode in ("reduce-overhead",) if few else TORCH_MODES[1:]:
                command = ("gpu_peer_pytorch.py", name, batch_size, "bfloat16", mode, images)
                yield f"PyTorch {mode}, bfloat16, {where}", command


def measure(name, batch_size, what, arguments):
    """Lines of a table, the fastest first."""
    workers, unit = [], STEPS * batch_size if what == "train" else PREDICTED
    try:
        for label, command in contestants(name, batch_size, what, arguments.few):
            workers.append(Worker(label, *command, **ENVIRONMENT))
            print(f"{name}, {what}, batch {batch_size}: {label} is ready", file=sys.stderr)
        rates = take_turns(workers, arguments.rounds, arguments.seconds)
    finally:
        for worker in workers:
            worker.close()
    counts = {worker.note for worker in workers}
    assert len(counts) == 1, f"the networks have different numbers of parameters: {counts}"
    lines = [f"{name}, {what}, batch {batch_size}, {int(counts.pop()):,} parameters"]
    lines.append(f"{'':<44}{'images/s':>12}{'least':>12}{'most':>12}")
    for label, values in sorted(rates.items(), key=lambda item: -statistics.median(item[1])):
        images = [value * unit for value in values]
        lines.append(f"{label:<44}{statistics.median(images):>12,.0f}{min(images):>12,.0f}{max(images):>12,.0f}")
    return [*lines, ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[128, 1024])
    parser.add_argument("--what", nargs="+", default=["train", "predict"], choices=("train", "predict"))
    parser.add_argument("--few", action="store_true", help="without those that were slower elsewhere")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--name", default="gpu")
    arguments = parser.parse_args()
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    lines = [subprocess.run(query, capture_output=True, text=True).stdout.strip(), ""]
    for what in arguments.what:
        for name in arguments.cases:
            for batch_size in arguments.batch_sizes if what == "train" else [2048]:
                lines += measure(name, batch_size, what, arguments)
                print("\n".join(lines[-12:]), flush=True)
    keep(arguments.name, lines, "jax", "jaxlib", "flax", "torch", "triton")


if __name__ == "__main__":
    main()
