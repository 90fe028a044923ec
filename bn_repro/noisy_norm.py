"""Covariate shift on purpose, after BN: the experiment of Santurkar et al. (2018)."""

import zlib

import jax
import jax.numpy as jnp

from bn_repro.layers import BatchNorm


class NoisyBatchNorm(BatchNorm):
    """BN whose outputs' mean and scale jump at every training step.

    y e^s + m: each unit (or feature map) draws s and m anew at every step, uniformly
    from -noise to noise; all examples of a step share them. They hang on the layer's
    name and the number of updates alone, so runs of several seeds meet the same noise.
    Nothing is added where no statistics are updated: evaluations and probes.
    """

    # the bound; of m in units of y, which are standard deviations of the mini-batch as
    # long as gamma is 1
    noise: float = 0.0

    def __call__(self, x, use_running_average=None, update_stats=None, mask=None):
        """Returns BatchNorm's output with the noise of this step."""
        y = super().__call__(x, use_running_average, update_stats, mask)
        if not update_stats or self.is_initializing():
            return y
        key = jax.random.key(zlib.crc32("/".join(self.path).encode()))
        key = jax.random.fold_in(key, self.get_variable("ema_count", "t"))
        bounds = {"minval": -self.noise, "maxval": self.noise}
        s, m = jax.random.uniform(key, (2, y.shape[-1]), **bounds)
        return (y * jnp.exp(s) + m).astype(y.dtype)
