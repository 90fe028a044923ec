"""The networks by name: a model takes (images, Mode) and returns (logits, taps)."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import config_dict

from bn_repro import data, layer_norm, layers, naive_norm, noisy_norm
from bn_repro.errors import UserError
from bn_repro.models import inception, mlp

MODELS = {"mlp": mlp.from_config, "inception": inception.from_config}
INITIAL_SCALES = ("init_stddev", "init_scale")  # of config.model: read by init alone


def build(
    config: config_dict.ConfigDict,
    axis_name: str | None = None,
    norm: Callable | None = None,
) -> nn.Module:
    """Returns the flax module that a resolved configuration describes.

    Args:
      config: the resolved configuration.
      axis_name: mesh axis that the examples are spread over; None on one device.
      norm: makes what stands in the place of the norm of each layer; by default that.
    """
    check_names(config)
    dtype = jnp.dtype(config.model.dtype)
    param_dtype = jnp.promote_types(dtype, jnp.float32)
    if norm is None:
        norm = NORMS[config.model.norm](config, axis_name, param_dtype)
    return MODELS[config.model.name](config, norm, dtype, param_dtype)


def check_names(config) -> None:
    """Raises UserError for a model.name or model.norm that there is not."""
    for key, known in (("name", MODELS), ("norm", NORMS)):
        if config.model[key] not in known:
            raise UserError(
                f"model.{key} is {config.model[key]!r}; use one of {list(known)}"
            )


def _batch_norm(config, axis_name, param_dtype):
    bn = config.bn
    module = layers.BatchNorm
    if bn.noise:
        module = partial(noisy_norm.NoisyBatchNorm, noise=bn.noise)
    return partial(
        module,
        batch=bn.batch,
        axis_name=axis_name,
        epsilon=bn.epsilon,
        momentum=bn.ema_decay,
        bias_correction=bn.bias_correction,
        biased=bn.biased,
        gradient=bn.gradient,
        dtype=jnp.dtype(config.model.dtype),
        param_dtype=param_dtype,
    )


# (config, axis_name, param_dtype) -> what makes each layer's module, called like
# `layers.BatchNorm`, or None.
NORMS = {
    "none": lambda *_: None,
    "batch_norm": _batch_norm,
    "layer_norm": layer_norm.from_config,
    "center": lambda *of: partial(
        naive_norm.NaiveNorm, partial(_batch_norm(*of), scaled=False)
    ),
    "standardize": lambda *of: partial(naive_norm.NaiveNorm, _batch_norm(*of)),
}


def shapes(config) -> dict:
    """Returns shapes and dtypes of the network's variables, computing none of them."""
    network = build(config)
    shape = data.find(config.data).image_shape(config.data)
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    def variables(images):
        return network.init(jax.random.key(0), images, layers.Mode(True))

    with jax.enable_x64(config.model.dtype == "float64"):
        return jax.eval_shape(variables, images)
