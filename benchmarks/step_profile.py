"""Where the time of one training step goes: ours and stock Flax, by part of the network, from JAX's profiler.

Every instruction of the compiled program is assigned to a part by its `op_name`, in which XLA keeps the Python code it
came from. Several threads and devices run at once. So each instant of the step is divided equally among the
instructions that run, counting only the innermost of each thread. The parts then add up to the time of the step. An
instant without a running instruction is a gap: dispatch, and Python's work between the steps.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from measuring import ROOT, keep
from networks import NETWORKS

PARTS = (
    "convolutions, forward", "Winograd's transforms, forward",
    "convolutions, backward", "Winograd's transforms, backward",
    "BatchNorm, ReLU, pooling, forward", "BatchNorm, ReLU, pooling, backward",
    "pooling as XLA has it", "dense layers, loss", "optimizer", "input", "exchange between devices", "other", "gaps",
)  # fmt: skip
OTHER, GAPS = PARTS[-2:]


class Program:
    """The instructions of a compiled program, from its HLO text."""

    _INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
    _COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")

    def __init__(self, text: str):
        self._found, self._inside, self._users = {}, {}, {}
        for line in text.splitlines():
            if computation := self._COMPUTATION.match(line):
                inside = self._inside[computation[1]] = []
            elif instruction := self._INSTRUCTION.match(line):
                name, shape, opcode, rest = instruction.groups()
                op_name = re.search(r'op_name="(jit\([^"]*)"', rest)  # others are those of arguments
                called = re.search(r"(?:calls|to_apply)=%?([\w.\-]+)", rest)
                self._found[name] = (shape, opcode, op_name[1] if op_name else "", called[1] if called else None)
                inside.append(name)
                for operand in re.findall(r"%([\w.\-]+)", rest.split("), ")[0]):
                    self._users.setdefault(operand, []).append(name)

    def part(self, name: str) -> str:
        """The part that an instruction belongs to: its own, or that of what uses it (copies have no name)."""
        waiting, seen = [name], {name}
        for each in waiting:
            if part := self._own_part(each):
                return part
            users = [user for user in self._users.get(each, ()) if user not in seen]
            waiting += users
            seen.update(users)
        return OTHER

    def _own_part(self, name):
        if name not in self._found:
            return None
        shape, opcode, op_name, called = self._found[name]
        if opcode.startswith(("all-reduce", "all-gather", "collective")):
            return "exchange between devices"
        inside = [self._found[inner] for inner in self._inside.get(called, ())]
        for _, inner_opcode, inner_name, _ in [*inside, self._found[name]]:
            if inner_opcode == "convolution":  # XLA drops the name where it rewrites a kernel's gradient
                return _part_of(inner_name, shape) if inner_name else "convolutions, backward"
        names = [op_name] if op_name else [inner[2] for inner in inside if inner[2]]
        parts = Counter(_part_of(each, shape) for each in names)
        return parts.most_common(1)[0][0] if parts else None


def _part_of(op_name, shape):
    """The part that the Python code behind an op_name such as "jit(step)/transpose(jvp(CNN))/Conv_0/dot" belongs to."""
    if "jvp" not in op_name:
        return "input" if ",64,64," in shape else "optimizer"
    direction = "backward" if "transpose(jvp" in op_name else "forward"
    if "/Conv" in op_name:
        transform = "/cond/" in op_name and "->" not in op_name  # in the layer's choice by platform, but no einsum
        return ("Winograd's transforms, " if transform else "convolutions, ") + direction
    if re.search("reduce_window|select_and_scatter", op_name):
        return "pooling as XLA has it"
    in_network = re.search(r"jvp\(\w*(Network|CNN)\w*\)", op_name)
    return "dense layers, loss" if "/Dense" in op_name or not in_network else f"BatchNorm, ReLU, pooling, {direction}"


def innermost(events):
    """Splits the events (start, end, name) of one thread so that none lies within another: [(start, end, name)]."""
    pieces, open_, now = [], [], 0
    for start, end, name in [*sorted(events, key=lambda event: (event[0], -event[1])), (float("inf"), 0, None)]:
        while open_ and open_[-1][0] <= start:  # those that have ended by then, the innermost first
            over, ended = open_.pop()
            pieces.append((now, over, ended))
            now = max(now, over)
        if open_:
            pieces.append((now, start, open_[-1][1]))
        now = start
        open_.append((end, name))
    return [piece for piece in pieces if piece[0] < piece[1]]


def share_out(threads):
    """Nanoseconds by name, each instant divided equally among the pieces of all threads under way; "" is a gap."""
    edges = sorted(
        edge for pieces in threads for start, end, name in pieces for edge in ((start, 1, name), (end, -1, name))
    )
    taken, running = Counter(), Counter()
    now = edges[0][0]
    for moment, change, name in edges:
        active = +running
        for each, count in (active or {"": 1}).items():
            taken[each] += (moment - now) * count / (active.total() or 1)
        running[name] += change
        now = moment
    return taken


def trace(name, batch_size, devices, steps):
    """Profiles one contestant in this process (devices 0: stock Flax): {"ms", "traced_ms", "instructions"}.

    `instructions` are [name, part, ms of one step], the longest first.
    """
    import jax
    from jax.profiler import ProfileData

    if devices:
        from ours_step import prepare

        from ai_library.training.step import _train_step as step  # what is jitted, behind the checks of its arguments

        _, state, data, shared_out = prepare(name, batch_size, devices)
    else:
        from peer_step_flax import prepare

        step, state, data = prepare(name, batch_size)
        shared_out = None
    compiled = step.lower(state, *jax.device_put(data[0], shared_out)).compile()

    def run(count):
        nonlocal state
        start = time.perf_counter()
        for index in range(count):
            state, result = compiled(state, *jax.device_put(data[index % len(data)], shared_out))
            jax.block_until_ready(result)
        return (time.perf_counter() - start) / count * 1e3

    run(4)
    ms = run(2 * steps)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            traced_ms = run(steps)
        (file,) = Path(folder).glob("**/*.xplane.pb")
        threads = [
            innermost(
                (event.start_ns, event.start_ns + event.duration_ns, stats["hlo_op"])
                for event in line.events
                if "hlo_op" in (stats := dict(event.stats))
            )
            for plane in ProfileData.from_file(str(file)).planes
            for line in plane.lines
        ]
    program = Program(compiled.as_text())
    taken = {each: ns / 1e6 / steps for each, ns in share_out(threads).items()}
    taken[""] = taken.get("", 0.0) + max(0.0, traced_ms - sum(taken.values()))  # before the first and after the last
    rows = [(each, program.part(each) if each else GAPS, value) for each, value in taken.items()]
    return {"ms": ms, "traced_ms": traced_ms, "instructions": sorted(rows, key=lambda row: -row[2])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="(all)")
    parser.add_argument("--batches", nargs="+", type=int, default=[32], metavar="B", help="sizes (32)")
    parser.add_argument(
        "--devices", nargs="+", type=int, default=[1, 2], metavar="D", help="that ours sees the processor as (1 2)"
    )
    parser.add_argument("--steps", type=int, default=8, help="that are traced (%(default)s)")
    parser.add_argument("--longest", type=int, default=0, help="also lists so many single instructions (%(default)s)")
    parser.add_argument("--trace", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trace:
        print(json.dumps(trace(*arguments.trace)))
        return

    lines = []
    columns = {f"ours, {devices} device{'s' if devices > 1 else ''}": devices for devices in arguments.devices}
    for name in arguments.networks:
        for batch_size in arguments.batches:
            profiles = {
                label: _in_process(name, batch_size, devices, arguments.steps)
                for label, devices in {**columns, "stock Flax": 0}.items()
            }
            lines += _table(name, batch_size, profiles, arguments.longest)
    keep("step_profile", lines, "jax", "flax", "optax")


def _in_process(*case):
    command = [sys.executable, __file__, f"--trace={json.dumps(case)}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def _table(name, batch_size, profiles, longest):
    lines = [f"network {name}, batch {batch_size}: ms of a step, share of it"]
    lines.append(f"{'':<36}" + "".join(f"{label:>20}" for label in profiles))
    for part in PARTS:
        cells = ""
        for profile in profiles.values():
            ms = sum(value for _, of, value in profile["instructions"] if of == part)
            cells += f"{ms:>12.1f}{ms / profile['traced_ms']:>8.1%}"
        lines.append(f"{part:<36}{cells}")
    for title, key in (("the step under the profiler", "traced_ms"), ("the step without it", "ms")):
        lines.append(f"{title:<36}" + "".join(f"{profile[key]:>12.1f}{'':>8}" for profile in profiles.values()))
    for label, profile in profiles.items() if longest else ():
        lines.append(f"  {label}, the longest:")
        lines += [f"    {value:>8.2f} ms  {each:<44} {part}" for each, part, value in profile["instructions"][:longest]]
    return [*lines, ""]


if __name__ == "__main__":
    main()
