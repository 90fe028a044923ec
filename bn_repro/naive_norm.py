"""Sec. 2: a learned b before the normalisation, and nothing learned after it."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jax import numpy as jnp


class NaiveNorm(nn.Module):
    """y = (x + b - E[x + b]) [/ sqrt(Var[x + b] + eps)], without gamma and beta.

    b changes no output. With `bn.gradient` = "full" its gradient is 0; with "stop",
    where descent takes the statistics for constants, b moves at every step (Sec. 2).
    It is called like `layers.BatchNorm`, which takes the statistics.
    """

    norm: Callable  # makes that BatchNorm
    param_dtype: Any = jnp.float32  # of b

    @nn.compact
    def __call__(self, x, *mode):
        """Returns the normalised x [B, ..., C]; `mode` is BatchNorm's."""
        b = self.param("bias", nn.initializers.zeros, x.shape[-1:], self.param_dtype)
        norm = self.norm(use_scale=False, use_bias=False, name="bn")
        return norm(x + b.astype(x.dtype), *mode)
