"""Images a second of one training step: the default network with other patches, and the cores as one device or two.

With "threads: 1" each device uses one core; with "all" it divides each operation among all cores. Each line is a
process of its own, since neither setting can change within a process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from measuring import ROOT, keep

sys.path.insert(0, str(ROOT))

CASES = [
    # image side, patch, batch, devices, threads
    (64, 4, 64, 1, "all"), (64, 4, 64, 2, "all"), (64, 4, 64, 2, "1"), (64, 2, 64, 1, "all"), (64, 2, 64, 2, "1"),
    (28, 2, 128, 1, "all"), (28, 2, 128, 2, "all"), (28, 2, 128, 2, "1"), (28, 1, 128, 1, "all"), (28, 1, 128, 2, "1"),
]  # fmt: skip
ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def measure(side, patch, batch, devices, steps):
    """Prints the seconds of each step as JSON."""
    import jax
    import numpy as np

    jax.config.update("jax_num_cpu_devices", devices)
    from ai_library import CNN, TrainConfig, create_train_state, train_step
    from ai_library.runtime.distributed import batch_shardings

    everywhere, shared_out = batch_shardings(batch)
    state = create_train_state(CNN(num_classes=10, patch=patch), (side, side, 1), TrainConfig(), 1000)
    state = jax.device_put(state, everywhere)
    rng = np.random.default_rng(0)
    examples = rng.integers(0, 256, (batch, side, side, 1), np.uint8), rng.integers(0, 10, batch, np.int32)
    times = []
    for _ in range(steps + 5):
        start = time.perf_counter()
        state, metrics = train_step(state, *jax.device_put(examples, shared_out))
        metrics["loss"].block_until_ready()
        times.append(time.perf_counter() - start)
    print(json.dumps(times[5:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="(%(default)s)")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        measure(*arguments.case[:4], arguments.steps)
        return
    lines = [f"{'image':>7}{'patch':>7}{'batch':>7}{'devices':>9}{'threads':>9}{'ms a step':>11}{'images/s':>10}"]
    for case in CASES:
        side, patch, batch, devices, threads = case
        command = [sys.executable, __file__, f"--steps={arguments.steps}", f"--case={json.dumps(case)}"]
        environment = {**os.environ, **(ONE_THREAD if threads == "1" else {})}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        median = statistics.median(json.loads(done.stdout))
        size = f"{side}x{side}"
        lines.append(
            f"{size:>7}{patch:>7}{batch:>7}{devices:>9}{threads:>9}{median * 1e3:>11.1f}{batch / median:>10.0f}"
        )
        print(lines[-1], flush=True)
    keep("patches", lines, "jax", "flax", "optax")


if __name__ == "__main__":
    main()
