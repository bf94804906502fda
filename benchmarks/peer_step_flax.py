"""A training step in stock Flax: linen's own layers, Adam, one jitted step that donates its state."""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.training import train_state
from measuring import serve
from networks import CLASSES, IMAGE_SIDE, NETWORKS, Network, as_float, batches


class StockNetwork(nn.Module):
    network: Network

    @nn.compact
    def __call__(self, x, train: bool):
        network = self.network
        cells = IMAGE_SIDE // network.patch
        if network.patch > 1:
            x = x.reshape(len(x), cells, network.patch, cells, network.patch, 1).transpose(0, 1, 3, 2, 4, 5)
            x = x.reshape(len(x), cells, cells, network.patch**2)
        for layer, features in enumerate(network.features):
            x = nn.Conv(features, (3, 3), use_bias=False)(x)
            if network.pool_first and layer in network.pooled:
                x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
            if not network.pool_first and layer in network.pooled:
                x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Dense(network.dense, use_bias=not network.dense_norm)(x.reshape(len(x), -1))
        if network.dense_norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(CLASSES)(nn.relu(x))


class TrainState(train_state.TrainState):
    batch_stats: dict


def train_step(state, images, labels):
    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = state.apply_fn(variables, images, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updates

    (loss, updates), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    return state.apply_gradients(grads=gradients, batch_stats=updates["batch_stats"]), loss


def prepare(name: str, batch_size: int):
    """(the jitted step, its first state, batches that it takes) of a network."""
    network = NETWORKS[name]
    model = StockNetwork(network)
    variables = jax.jit(model.init, static_argnames="train")(
        jax.random.key(0), jnp.zeros((1, IMAGE_SIDE, IMAGE_SIDE, 1)), train=False
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == network.parameters, f"{count} parameters, not {network.parameters}"
    state = TrainState.create(apply_fn=model.apply, tx=optax.adam(1e-3), **variables)
    data = [(as_float(images), labels) for images, labels in batches(batch_size)]
    return jax.jit(train_step, donate_argnums=0), state, data


def main():
    step, state, data = prepare(sys.argv[1], int(sys.argv[2]))

    def run(count):
        nonlocal state
        for index in range(count):
            state, loss = step(state, *data[index % len(data)])
        loss.block_until_ready()

    serve(run)


if __name__ == "__main__":
    main()
