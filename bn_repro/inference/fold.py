"""Algorithm 2, step 11: the inference network, BN as one linear map a layer.

Before the nonlinearity of a dense or convolutional layer the map goes into weights and
bias, and the network is that of `model.norm` = "none". Where it cannot, because it
differs by location (per-activation BN) or follows the nonlinearity, it stays a map
y = a x + b of its own. A norm that stores no statistics stays as it is.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import config_dict

from bn_repro import batch_norm, models
from bn_repro.errors import UserError


class LinearMap(nn.Module):
    """y = a x + b, in the place of a BatchNorm that is called in the same way."""

    per_activation: bool = False  # a and b for each location, not each channel
    dtype: Any = None  # of y; None keeps the input's
    param_dtype: Any = jnp.float32  # of a and b

    @nn.compact
    def __call__(self, x, *unused):
        """Returns y, of the shape of x [B, ..., C]; `unused` are BatchNorm's modes."""
        shape = x.shape[1:] if self.per_activation else x.shape[-1:]
        a = self.param("a", nn.initializers.ones, shape, self.param_dtype)
        b = self.param("b", nn.initializers.zeros, shape, self.param_dtype)
        return (a * x + b).astype(self.dtype or x.dtype)


def inference_network(config, variables) -> tuple[nn.Module, dict]:
    """Returns the network with every BN folded or replaced, and its params.

    Returns:
      (module, params): module.apply({"params": params}, images, Mode(True)) gives the
      logits of the trained network with stored statistics, but for rounding.

    Raises:
      UserError: another norm than batch_norm stores statistics.
    """
    if config.model.norm != "batch_norm":
        if variables.get("batch_stats"):
            raise UserError(
                f"a network with model.norm={config.model.norm!r} cannot be exported: "
                "it stores statistics and only batch_norm's are folded"
            )
        return models.build(config), variables["params"]
    into_weights = config.model.norm_placement == "before"
    folded = config_dict.ConfigDict(config.to_dict())
    folded.model.norm = "none"
    module = models.build(folded, norm=None if into_weights else LinearMap)
    if into_weights and config.model.per_activation_last:
        last = partial(LinearMap, per_activation=True)
        layer = partial(module.last_layer, norm=last, placement="before")
        module = module.clone(last_layer=layer)
    statistics = variables.get("batch_stats", {})
    params = _fold(variables["params"], statistics, config.bn.epsilon, into_weights)
    return module, params


def _fold(params: dict, stats: dict, epsilon: float, into_weights: bool) -> dict:
    """Returns the params of the tree below, with every BN folded or replaced."""
    if "bn" in stats:
        return _fold_layer(params, stats["bn"], epsilon, into_weights)
    return {
        name: _fold(below, stats[name], epsilon, into_weights)
        if name in stats
        else below
        for name, below in params.items()
    }


def _fold_layer(layer: dict, stats: dict, epsilon: float, into_weights: bool) -> dict:
    wide = lambda x: np.asarray(x, np.float64)  # noqa: E731
    bn, rest = layer["bn"], {name: layer[name] for name in layer if name != "bn"}
    moments = wide(stats["mean"]), wide(stats["var"])
    a, b = batch_norm.linear_map(*moments, wide(bn["scale"]), wide(bn["bias"]), epsilon)
    dtype = np.asarray(bn["scale"]).dtype
    if not into_weights or a.ndim > 1:
        return rest | {"bn": {"a": dtype.type(a), "b": dtype.type(b)}}
    # The last kernel's columns are the layer's units or feature maps.
    if "pointwise" in rest:
        kernel = wide(rest["pointwise"]["kernel"]) * a
        rest = rest | {"pointwise": {"kernel": dtype.type(kernel)}}
    else:
        rest = rest | {"kernel": dtype.type(wide(rest["kernel"]) * a)}
    return rest | {"bias": dtype.type(b)}
