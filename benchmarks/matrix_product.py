"""The machine's practical float32 peak: products of two square matrices in jitted JAX. Argument: their side."""

import sys

import jax
import jax.numpy as jnp
from measuring import serve


def main():
    side = int(sys.argv[1])
    left, right = jax.random.normal(jax.random.key(0), (2, side, side), jnp.float32)
    product = jax.jit(jnp.matmul)

    def run(count):
        for _ in range(count):
            product(left, right).block_until_ready()

    serve(run)


if __name__ == "__main__":
    main()
