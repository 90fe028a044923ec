"""Sec. 4.1: fully connected layers on MNIST, with or without Batch Normalization."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from bn_repro import layers


class DenseNormAct(nn.Module):
    """A fully connected layer z = g(BN(W u)) (Sec. 3.2)."""

    features: int  # number of units
    nonlinearity: str  # g, a key of `layers.NONLINEARITIES`
    norm: Callable | None = None  # makes the BatchNorm, or None: z = g(W u + b)
    # of the norm, "before" g (no b: beta takes its role) or "after" it
    placement: str = "before"
    kernel_init: Callable = nn.initializers.lecun_normal()  # of W
    dtype: Any = None  # of the computation
    param_dtype: Any = jnp.float32  # of W and b

    @nn.compact
    def __call__(self, u, mode: layers.Mode):
        """Returns z [B, features] and the input of the nonlinearity, the same shape."""
        kernel = self.param(
            "kernel", self.kernel_init, (u.shape[-1], self.features), self.param_dtype
        )
        x = jnp.dot(u.astype(self.dtype), kernel.astype(self.dtype))
        return layers.norm_act(self, x, mode)


class MLP(nn.Module):
    """Hidden layers z = g(BN(W u)), then a linear classifier."""

    hidden: tuple[int, ...]  # units of each hidden layer
    classes: int  # number of classes
    nonlinearity: str  # g, a key of `layers.NONLINEARITIES`
    norm: Callable | None  # makes a BatchNorm module; None for the plain network
    placement: str  # of the norm, "before" or "after" the nonlinearity
    init_stddev: float  # of the Gaussian weights are drawn from; biases start at 0
    dropout: float = 0.0  # share of each hidden layer's outputs dropped in training
    precision: str = "default"  # of products, see `layers.at_precision`
    dtype: Any = jnp.float32  # of the computation
    param_dtype: Any = jnp.float32  # of the parameters

    @nn.compact
    @layers.at_precision
    def __call__(self, images, mode: layers.Mode):
        """Returns logits [B, classes] and taps, each nonlinearity's input [B, units].

        Of images [B, ...], flattened here.
        """
        init = nn.initializers.normal(self.init_stddev)
        z = images.reshape(images.shape[0], -1).astype(self.dtype)  # [B, 784]
        taps = OrderedDict()  # a plain dict would come back from jit sorted
        made = {"kernel_init": init, "param_dtype": self.param_dtype}
        of_all = self.nonlinearity, self.norm, self.placement
        for i, units in enumerate(self.hidden, start=1):
            name = f"hidden_{i}"
            layer = DenseNormAct(units, *of_all, dtype=self.dtype, name=name, **made)
            z, taps[name] = layer(z, mode)  # [B, units]
            z = layers.dropout(z, self.dropout, mode.dropout_keys, i)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        classifier = nn.Dense(self.classes, dtype=wide, name="classifier", **made)
        return classifier(z), taps


def from_config(config, norm, dtype, param_dtype) -> MLP:
    """Returns the network that a resolved configuration describes."""
    return MLP(
        hidden=tuple(config.model.hidden),
        classes=config.data.classes,
        nonlinearity=config.model.nonlinearity,
        norm=norm,
        placement=config.model.norm_placement,
        init_stddev=config.model.init_stddev,
        dropout=config.model.dropout,
        precision=config.model.precision,
        dtype=dtype,
        param_dtype=param_dtype,
    )
