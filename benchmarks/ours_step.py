"""A training step of this library, `ai_library.train_step`, with the cores as one device or several.

Arguments: network, batch size, number of devices. As in our training scripts, devices keep
to one core each where there are as many, and freed memory is kept.
"""

import sys

import jax
from measuring import ROOT, serve
from networks import CLASSES, IMAGE_SIDE, NETWORKS, batches

sys.path.insert(0, str(ROOT))


def prepare(name: str, batch_size: int, devices: int):
    """(the step, its first state, batches that it takes) of a network."""
    from ai_library.runtime.cpu import keep_freed_memory, use_devices

    keep_freed_memory()
    use_devices(devices)
    from network_p import NetworkP

    from ai_library import CNN, TrainConfig, create_train_state, train_step
    from ai_library.runtime.distributed import batch_shardings

    model = NetworkP() if name == "P" else CNN(num_classes=CLASSES, features=NETWORKS[name].features)
    everywhere, shared_out = batch_shardings(batch_size)
    state = create_train_state(model, (IMAGE_SIDE, IMAGE_SIDE, 1), TrainConfig(), steps=1_000_000)
    count, wanted = sum(leaf.size for leaf in jax.tree.leaves(state.params)), NETWORKS[name].parameters
    assert count == wanted, f"{count} parameters, not {wanted}"
    data = batches(batch_size)
    return train_step, jax.device_put(state, everywhere), data, shared_out


def main():
    name, batch_size, devices = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    step, state, data, shared_out = prepare(name, batch_size, devices)

    def run(count):
        nonlocal state
        for index in range(count):
            state, metrics = step(state, *jax.device_put(data[index % len(data)], shared_out))
        metrics["loss"].block_until_ready()

    serve(run)


if __name__ == "__main__":
    main()
