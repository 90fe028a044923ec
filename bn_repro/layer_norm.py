"""Layer Normalization (Ba, Kiros, Hinton 2016), to compare with: no batch is needed."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from bn_repro import batch_norm


class LayerNorm(nn.Module):
    """y = gamma (x - mean) / sqrt(var + eps) + beta over all values of an example.

    It is called like `layers.BatchNorm` and has its params, `scale` and `bias`, one a
    unit or feature map. It stores no statistics, so no mode makes a difference.
    """

    epsilon: float = 1e-5  # eps, added to the variance
    param_dtype: Any = jnp.float32  # of scale and bias

    @nn.compact
    def __call__(self, x, *unused):
        """Returns the normalised x [B, ..., C]; `unused` are BatchNorm's modes."""
        shape = x.shape[-1:]
        gamma = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        beta = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        axes = tuple(range(1, x.ndim))
        mean, var = batch_norm.moments(x, axes)
        return batch_norm.normalize(x, mean, var, gamma, beta, self.epsilon)


def from_config(config, axis_name, param_dtype):
    """Returns what makes each layer's module; see `models.NORMS`."""
    del axis_name
    return partial(LayerNorm, epsilon=config.bn.epsilon, param_dtype=param_dtype)
