"""Accuracy of a training script over seeds, on its evaluation split, and the seconds of the whole process.

Each seed is one run of the script as a user starts it, with a fresh process and a fresh run directory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import ROOT, keep


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="number of runs (%(default)s)")
    parser.add_argument("--name", required=True, help="of the file in benchmarks/results")
    parser.add_argument("--keep-models", type=Path, metavar="DIR", help="where to leave the models")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the script and its own arguments")
    arguments = parser.parse_args()

    lines = [f"{'seed':>4} {'accuracy':>10} {'95 % interval':>20} {'log loss':>10} {'ECE':>8} {'seconds':>9}"]
    accuracies, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            model = (arguments.keep_models or Path(folder)) / f"{arguments.name}-{seed}.msgpack"
            command = [sys.executable, *arguments.command, f"--seed={seed}", f"--model={model}"]
            start = time.perf_counter()
            run = Path(folder, f"run-{seed}")
            subprocess.run([*command, f"--run-dir={run}"], check=True, cwd=ROOT)
            seconds.append(time.perf_counter() - start)
            metrics = json.loads((run / "metrics.json").read_text())
            accuracies.append(metrics["accuracy"])
            low, high = metrics["accuracy_interval"]
            lines.append(
                f"{seed:>4} {accuracies[-1]:>10.3%} {f'{low:.3%} to {high:.3%}':>20} {metrics['log_loss']:>10.4f} "
                f"{metrics['ece']:>8.4f} {seconds[-1]:>9.1f}"
            )
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else float("nan")
    lines += [
        "",
        f"accuracy {statistics.mean(accuracies):.3%} ± {deviation:.3%} (mean and standard deviation over "
        f"{len(accuracies)} seeds, n = {metrics['n']:,} each)",
        f"seconds  {statistics.mean(seconds):.1f}, at most {max(seconds):.1f} (whole process)",
    ]
    keep(arguments.name, lines, "jax", "flax", "optax")


if __name__ == "__main__":
    main()
