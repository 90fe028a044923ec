"""BatchNorm in a flax.linen model of one's own, called as flax.linen.BatchNorm is."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bn_repro.layers import BatchNorm


class Network(nn.Module):
    """One normalised hidden layer."""

    @nn.compact
    def __call__(self, x, train: bool):
        """Returns [B, 10] of [B, D]."""
        x = nn.Dense(32, use_bias=False)(x)
        x = nn.relu(BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(10)(x)


network, x = Network(), jax.random.normal(jax.random.key(0), (64, 20))
variables = network.init(jax.random.key(1), x, train=False)
logits, changed = network.apply(variables, x, train=True, mutable=["batch_stats"])
logits = network.apply({**variables, **changed}, x, train=False)
print(logits.shape, jnp.round(changed["batch_stats"]["BatchNorm_0"]["mean"][:3], 3))
