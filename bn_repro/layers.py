"""Flax modules of the networks: they own variables, the mathematics is elsewhere."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from bn_repro import batch_norm
from bn_repro.errors import UserError

NONLINEARITIES = {"sigmoid": nn.sigmoid, "tanh": nn.tanh, "relu": nn.relu}
# The slope of each nonlinearity at x as a share of its largest.
RELATIVE_SLOPES = {
    "sigmoid": lambda x: 4 * nn.sigmoid(x) * nn.sigmoid(-x),
    "tanh": lambda x: 1 - jnp.tanh(x) ** 2,
    "relu": lambda x: (x > 0).astype(x.dtype),
}


class Mode(NamedTuple):
    """How a forward pass is run.

    Attributes:
      use_running_average: normalise with the stored statistics, not the mini-batch's.
      update_stats: move the stored statistics towards the mini-batch's.
      dropout_keys: one key an example, [B]; None switches dropout off.
      mask: [B] booleans, False for padding, which never touches statistics.
    """

    use_running_average: bool = False
    update_stats: bool = False
    dropout_keys: jax.Array | None = None
    mask: jax.Array | None = None


class BatchNorm(nn.Module):
    """Batch Normalization (Algorithm 1); a drop-in for `flax.linen.BatchNorm`.

    Variables have flax's names and shapes, so they can be copied across: params `scale`
    (gamma) and `bias` (beta), batch_stats `mean` and `var`. The collection `ema_count`
    holds the number of updates for the bias correction of the moving averages; where it
    is absent (variables that came from flax) they follow flax's rule.

    Attributes:
      batch: what is normalised together: "device" (the examples on this device),
        "global" (those of all devices along axis_name) or N (groups of N consecutive
        examples of a device; the number of all devices' is "global"). Every such group
        is one mini-batch B of Algorithm 2; the stored statistics are the means over
        groups.
      axis_name: mesh axis of the examples, for groups on more than one device.
      epsilon: eps, added to the variance.
      ema_decay: share of the stored statistics that a step keeps (flax: momentum).
      bias_correction: create `ema_count`.
      biased: store the biased variance, as flax does; else m / (m - 1) times it.
      per_activation: statistics, gamma and beta for each location of a feature map
        instead of each feature map (Sec. 4.2.3).
      dtype: of the output; None keeps the input's.
      param_dtype: of scale, bias and the stored statistics.
      use_bias: whether there is a beta.
      use_scale: whether there is a gamma.
      bias_init: initialiser of beta.
      scale_init: initialiser of gamma.
    """

    batch: str | int = "device"
    axis_name: str | None = None
    epsilon: float = 1e-5
    ema_decay: float = 0.99
    bias_correction: bool = True
    biased: bool = False
    per_activation: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable = nn.initializers.zeros_init()
    scale_init: Callable = nn.initializers.ones_init()

    @nn.compact
    def __call__(self, x, use_running_average=False, update_stats=None, mask=None):
        """Returns the normalised x, of the same shape.

        Args:
          x: [B, ..., C].
          use_running_average: normalise with the stored statistics.
          update_stats: update the stored statistics; by default exactly when the
            mini-batch's own are used.
          mask: [B] booleans; examples where it is False touch no statistic.

        Raises:
          UserError: the groups do not divide the examples on this device.
        """
        if update_stats is None:
            update_stats = not use_running_average
        shape = x.shape[1:] if self.per_activation else x.shape[-1:]
        gamma, beta = self._scale_and_bias(shape)
        mean, var, count = self._statistics(shape)
        stored = mean.value, var.value
        update_stats = update_stats and not self.is_initializing()
        x = x if self.dtype is None else x.astype(self.dtype)
        if update_stats or not use_running_average:
            y, *new, m = self._normalize_groups(x, gamma, beta, mask)
            if update_stats:
                self._update(mean, var, count, *new, jnp.any(m > 0))
        if use_running_average:
            y = batch_norm.normalize(x, *stored, gamma, beta, self.epsilon)
        return y

    def _scale_and_bias(self, shape):
        gamma = jnp.ones(shape, self.param_dtype)
        beta = jnp.zeros(shape, self.param_dtype)
        if self.use_scale:
            gamma = self.param("scale", self.scale_init, shape, self.param_dtype)
        if self.use_bias:
            beta = self.param("bias", self.bias_init, shape, self.param_dtype)
        return gamma, beta

    def _statistics(self, shape):
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.param_dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, self.param_dtype)
        count = None
        create = self.is_initializing() and self.bias_correction
        if create or self.has_variable("ema_count", "t"):
            count = self.variable("ema_count", "t", jnp.zeros, (), jnp.int32)
        return mean, var, count

    def _normalize_groups(self, x, gamma, beta, mask):
        """Returns y, this step's statistics to store, means over the groups, and m."""
        devices = lax.axis_size(self.axis_name) if self.axis_name else 1
        n, spanning = check_groups(self.batch, x.shape[0], devices)
        axis_name = self.axis_name if spanning else None
        # [B, ..., C] -> [G, N, ..., C]; statistics keep the reduced axes with size 1.
        grouped = x.reshape(n, x.shape[0] // n, *x.shape[1:])
        axes = (1,) if self.per_activation else tuple(range(1, grouped.ndim - 1))
        shape = gamma.shape
        keep = (1,) * (grouped.ndim - gamma.ndim)
        gamma, beta = gamma.reshape(keep + shape), beta.reshape(keep + shape)
        if mask is None:
            y, mu, var = batch_norm.batch_norm(
                grouped, gamma, beta, self.epsilon, axes, axis_name
            )
        else:
            mask = mask.reshape(grouped.shape[:2] + (1,) * (grouped.ndim - 2))
            mu, var = batch_norm.moments(grouped, axes, mask, axis_name)
            y = batch_norm.normalize(grouped, mu, var, gamma, beta, self.epsilon)
        m = batch_norm.count_values(grouped, axes, mask, axis_name)
        mean, var = batch_norm.population_statistics(mu, var, m, self.biased)
        return y.reshape(x.shape), mean.reshape(shape), var.reshape(shape), m

    def _update(self, mean, var, count, new_mean, new_var, any_example):
        """Moves the stored statistics, unless the mini-batch is without examples."""
        t = None
        if count is not None:
            t = count.value + 1
            count.value = jnp.where(any_example, t, count.value)
        for stored, new in ((mean, new_mean), (var, new_var)):
            moved = batch_norm.moving_average(
                stored.value, new.astype(stored.value.dtype), self.ema_decay, t
            )
            stored.value = jnp.where(any_example, moved, stored.value)


def check_groups(batch: str | int, per_device: int, devices: int) -> tuple[int, bool]:
    """Returns `groups`; raises UserError with what divides where there are none."""
    found = groups(batch, per_device, devices)
    if found is None:
        divisors = [n for n in range(1, per_device + 1) if per_device % n == 0]
        raise UserError(
            f"bn.batch={batch} does not divide the {per_device} examples on each "
            f"device; use a batch_size of a multiple of {batch} on each, one of the "
            f'divisors {divisors}, or "global" for all {per_device * devices} together'
        )
    return found


def groups(batch: str | int, per_device: int, devices: int) -> tuple[int, bool] | None:
    """Returns (groups on each device, whether one spans all devices).

    None where groups of so many examples divide neither a device's examples nor are all
    of them.

    Args:
      batch: BatchNorm's; a number may be given as text.
      per_device: examples on each device.
      devices: how many.
    """
    if batch == "device":
        return 1, False
    if batch == "global":
        return 1, True
    size = int(batch)
    if per_device % size == 0:
        return per_device // size, False
    return (1, True) if size == per_device * devices else None


def dropout(x, rate: float, keys, layer: int):
    """Returns x with a share of each example's values zeroed and the rest scaled up.

    Args:
      x: [B, ...].
      rate: share dropped.
      keys: one key an example, [B], or None for no dropout: a value's fate depends on
        its example alone, however the examples are spread over devices.
      layer: number of the layer, so that layers differ.
    """
    if keys is None or rate == 0.0:
        return x
    keep = jax.vmap(
        lambda key: jax.random.bernoulli(
            jax.random.fold_in(key, layer), 1 - rate, x.shape[1:]
        )
    )(keys)
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


class DenseNormAct(nn.Module):
    """A fully connected layer z = g(BN(W u)) (Sec. 3.2).

    Attributes:
      features: number of units.
      nonlinearity: g, a key of NONLINEARITIES.
      norm: makes the BatchNorm module, or None; it then is z = g(W u + b).
      placement: "before" the nonlinearity (no b: beta takes its role) or "after" it.
      kernel_init: initialiser of W.
      dtype: of the computation.
      param_dtype: of W and b.
    """

    features: int
    nonlinearity: str
    norm: Callable | None = None
    placement: str = "before"
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, u, mode: Mode):
        """Returns z [B, features] and the input of the nonlinearity, the same shape."""
        before = self.norm is not None and self.placement == "before"
        kernel = self.param(
            "kernel", self.kernel_init, (u.shape[-1], self.features), self.param_dtype
        )
        x = jnp.dot(u.astype(self.dtype), kernel.astype(self.dtype))
        if not before:
            bias = self.param(
                "bias", nn.initializers.zeros, (self.features,), self.param_dtype
            )
            x = x + bias.astype(self.dtype)
        return norm_act(self, x, mode)


def norm_act(layer, x, mode: Mode):
    """Returns g(BN(x)) or BN(g(x)) and g's input; layer has norm, placement and g."""
    g = NONLINEARITIES[layer.nonlinearity]
    if layer.norm is None:
        return g(x), x
    norm = layer.norm(name="bn")
    statistics = (mode.use_running_average, mode.update_stats, mode.mask)
    if layer.placement == "before":
        x = norm(x, *statistics)
        return g(x), x
    return norm(g(x), *statistics), x
