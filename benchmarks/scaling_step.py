"""One of the processes of `scaling.py`: training steps, all-reduces alone, or all-reduces between other work.

Arguments: the kind ("step", "reduce" or "amid"), its size (images of a batch of all processes, float32 numbers, or
images of the work), devices of this process, HOST:PORT of the first process, number of processes, and which of them
this is. With one device, a process uses one core, chosen by its number. Otherwise XLA would use half of the other core,
too.
"""

import os
import sys

from measuring import ROOT, serve

sys.path.insert(0, str(ROOT))
REDUCES = 20
"""All-reduces of one call of the compiled function, so that the call itself does not count."""
SUMS = 14
"""Pieces of work in one call, each with its sum: as many as in a step."""
FEW = 128
"""Float32 numbers of a small all-reduce."""


def steps(batch_size: int):
    """A function that takes `count` training steps of the default network, as the `Trainer` does."""
    from networks import CLASSES, IMAGE_SIDE, batches

    from ai_library import CNN, TrainConfig, create_train_state, train_step
    from ai_library.runtime import distributed

    everywhere, shared_out = distributed.batch_shardings(batch_size)
    state = create_train_state(CNN(num_classes=CLASSES), (IMAGE_SIDE, IMAGE_SIDE, 1), TrainConfig(), steps=1_000_000)
    state, processes = distributed.place(state, everywhere), distributed.process_count()
    part = slice(*(batch_size * (distributed.process_index() + i) // processes for i in (0, 1)))
    data = [(images[part], labels[part]) for images, labels in batches(batch_size)]

    def run(count):
        nonlocal state
        for index in range(count):
            asked = distributed.highest(0)
            state, metrics = train_step(state, *distributed.place(data[index % len(data)], shared_out))
            int(asked)
        metrics["loss"].block_until_ready()

    return run


def reduces(numbers: int):
    """A function that sums so many float32 numbers of every process `count` times."""
    from functools import partial

    import jax
    import numpy as np
    from jax.sharding import PartitionSpec as P

    from ai_library.runtime import distributed

    _, shared_out = distributed.batch_shardings(distributed.process_count())

    @jax.jit
    @partial(jax.shard_map, mesh=shared_out.mesh, in_specs=P("batch"), out_specs=P("batch"))
    def reduce(x):
        def halved(_, x):
            return jax.lax.pcast(jax.lax.psum(x, "batch") / 2, "batch", to="varying")

        return jax.lax.fori_loop(0, REDUCES, halved, x)

    array = distributed.place(np.ones((1, numbers), np.float32), shared_out)

    def run(count):
        for _ in range(count):
            reduce(array).block_until_ready()

    return run


def reduces_amid_work(images: int):
    """A function that does a convolution and its gradients on so many images of its own and then sums few numbers of
    every process, `count` times `SUMS` of both. In a single process the sum is nothing."""
    from functools import partial

    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import PartitionSpec as P

    from ai_library.networks.layers import conv3x3
    from ai_library.runtime import distributed

    _, shared_out = distributed.batch_shardings(distributed.process_count())
    kernel = jnp.full((3, 3, 32, 64), 0.01)

    @jax.jit
    @partial(jax.shard_map, mesh=shared_out.mesh, in_specs=P("batch"), out_specs=P("batch"), check_vma=False)
    def work(x):
        def once(_, x):
            of_x, of_kernel = jax.grad(lambda x, kernel: (conv3x3(x, kernel) ** 2).sum(), (0, 1))(x, kernel)
            few = jax.lax.psum(of_kernel.reshape(-1)[:FEW], "batch")
            return x + 1e-6 * (of_x + few.mean())

        return jax.lax.fori_loop(0, SUMS, once, x)

    array = distributed.place(np.ones((images, 16, 16, 32), np.float32), shared_out)

    def run(count):
        for _ in range(count):
            work(array).block_until_ready()

    return run


def sent_bytes() -> int:
    """What this machine has sent to itself so far, headers included."""
    with open("/proc/net/dev") as file:
        return next(int(line.split()[9]) for line in file if line.strip().startswith("lo:"))


def main():
    what, size, devices, coordinator, processes, process = sys.argv[1:]
    size, processes, process = int(size), int(processes), int(process)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if devices == "1":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[process % len(cores)]})  # before JAX counts them
    import jax

    from ai_library.runtime import distributed
    from ai_library.runtime.cpu import keep_freed_memory

    jax.config.update("jax_num_cpu_devices", int(devices))
    if processes > 1:
        distributed.initialise(coordinator, processes, process)
    keep_freed_memory()
    work = {"step": steps, "reduce": reduces, "amid": reduces_amid_work}[what](size)

    def run(count):
        """Does work in all processes, the number of which the first one tells; until it tells 0."""
        if count := int(distributed.highest(count)):
            work(count)
        return count

    if processes > 1 and process:
        while run(0):
            pass
        return
    run(5)
    before = sent_bytes()
    run(50)
    serve(run, str((sent_bytes() - before) / 50))
    run(0)


if __name__ == "__main__":
    main()
