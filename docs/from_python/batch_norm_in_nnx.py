"""BatchNorm in a flax.nnx model, through flax's bridge."""

import jax
from flax import nnx

from bn_repro.layers import BatchNorm


class Network(nnx.Module):
    """One normalised hidden layer."""

    def __init__(self, rngs: nnx.Rngs):
        """Makes the parameters; the norm's are made from an example."""
        self.hidden = nnx.Linear(20, 32, use_bias=False, rngs=rngs)
        self.norm = nnx.bridge.ToNNX(BatchNorm(momentum=0.9), rngs=rngs)
        self.norm.lazy_init(jax.numpy.ones((2, 32)), use_running_average=True)
        self.classifier = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x, train: bool):
        """Returns [B, 10] of [B, 20]."""
        mutable = {"mutable": ["batch_stats"]} if train else {}
        x = self.norm(self.hidden(x), use_running_average=not train, **mutable)
        return self.classifier(nnx.relu(x))


network, x = Network(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (64, 20))
network(x, train=True)  # moves the stored statistics
print(network(x, train=False).shape, network.norm.mean[...][:3].round(3))
