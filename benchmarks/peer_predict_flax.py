"""Bulk prediction in stock Flax: linen's own layers, one jitted call a batch."""

import jax
import numpy as np
from measuring import fastest, serve
from networks import as_float
from peer_step_flax import StockNetwork
from same_weights import BATCH_SIZES, SameWeights, contestant, unit_of_images


def bulk(weights):
    weights, images = SameWeights(weights), as_float(unit_of_images())
    model, variables = StockNetwork(weights.network), jax.device_put(weights.variables)
    predict = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
    weights.check(predict(variables, as_float(weights.images)))

    def by(batch_size):
        def run(count):
            for _ in range(count):
                # All are on their way before the first is fetched.
                logits = [predict(variables, batch) for batch in np.split(images, len(images) // batch_size)]
                np.concatenate(logits)

        return run

    name, run = fastest({f"batches of {size}": by(size) for size in BATCH_SIZES})
    serve(run, name)


if __name__ == "__main__":
    contestant(bulk=bulk)
