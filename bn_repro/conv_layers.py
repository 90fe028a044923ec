"""Flax modules of convolutional networks: a layer of Sec. 3.2 and its parts."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from bn_repro import convolutions, layers

TRUNCATED_DEVIATION = 0.8796256610342398  # of a standard normal truncated at -2 and 2


class ConvNormAct(nn.Module):
    """A convolutional layer z = g(BN(W * u)) (Sec. 3.2)."""

    features: int  # number of feature maps
    nonlinearity: str  # g, a key of `layers.NONLINEARITIES`
    size: int = 1  # height and width of W
    stride: int = 1  # of the convolution
    # 0 for a full W; else W is separable: a depthwise convolution with this multiplier,
    # then a 1x1 one, nothing between them (kernels `depthwise` and `pointwise`)
    multiplier: int = 0
    symmetric: bool = False  # pad as Caffe and PyTorch, sides alike, instead of SAME
    norm: Callable | None = None  # makes the BatchNorm, or None: z = g(W * u + b)
    # of the norm, "before" g (no b: beta takes its role) or "after" it
    placement: str = "before"
    init_scale: float = 1.0  # of the initial weights (truncated normal, He's fan-in)
    dtype: Any = jnp.float32  # of the computation
    param_dtype: Any = jnp.float32  # of W and b

    @nn.compact
    def __call__(self, u, mode: layers.Mode):
        """Returns z [B, ceil(H / stride), ..., features] and g's input, like z."""
        u = u.astype(self.dtype)
        x = self._separable(u) if self.multiplier else self._full(u)
        return layers.norm_act(self, x, mode)

    def _full(self, u):
        shape = (self.size, self.size, u.shape[-1], self.features)
        init = scaled_normal(2.0, self.init_scale)
        kernel = self.param("kernel", init, shape, self.param_dtype)
        return convolutions.convolution(
            u, kernel.astype(self.dtype), self.stride, self.symmetric
        )

    def _separable(self, u):
        between = u.shape[-1] * self.multiplier
        # Gain 1: no ReLU between the two halves the second moment.
        scaled = scaled_normal(1.0, self.init_scale)
        shape = (self.size, self.size, 1, between)
        depthwise = Kernel(shape, scaled, self.param_dtype, name="depthwise")()
        scaled = scaled_normal(2.0, self.init_scale)
        shape = (1, 1, between, self.features)
        pointwise = Kernel(shape, scaled, self.param_dtype, name="pointwise")()
        kernels = depthwise.astype(self.dtype), pointwise.astype(self.dtype)
        options = self.stride, self.symmetric
        return convolutions.separable_convolution(u, *kernels, *options)


class Kernel(nn.Module):
    """Owns one kernel of a layer that has several."""

    shape: tuple[int, ...]
    initializer: Callable
    param_dtype: Any

    @nn.compact
    def __call__(self):
        """Returns the kernel."""
        return self.param("kernel", self.initializer, self.shape, self.param_dtype)


def scaled_normal(gain: float, scale: float):
    """Returns an initialiser: scale times a truncated normal of variance gain / fan-in.

    It draws a flat array: XLA:CPU compiles a draw of a kernel's shape 6 to 20 times as
    long, more than it takes for a training step in all.
    """

    def init(key, shape, dtype):
        deviation = math.sqrt(gain / math.prod(shape[:-1])) / TRUNCATED_DEVIATION
        normal = nn.initializers.truncated_normal(scale * deviation)
        return normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


def local_response_norm(x):
    """Returns x / (1 + alpha / size * sum of x^2 over size neighbouring channels)^beta.

    Caffe's normalisation across channels with GoogLeNet's size, alpha and beta;
    channels beyond the first and last count as 0. Of x [B, H, W, C], any floating
    dtype; computed in float32 or wider.
    """
    size, alpha, beta = 5, 1e-4, 0.75
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    zero = np.array(0, wide.dtype)
    window, stride = (1, 1, 1, size), (1, 1, 1, 1)
    total = lax.reduce_window(wide**2, zero, lax.add, window, stride, "SAME")
    # x^-beta as exp(-beta log x): its gradient needs no second power.
    return (wide * jnp.exp(-beta * jnp.log1p(alpha / size * total))).astype(x.dtype)
