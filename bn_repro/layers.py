"""Flax modules of the networks: they own variables, the mathematics is elsewhere.

It has more than 250 lines because BatchNorm takes over all of flax's fields and cases,
and what stands below it is what every layer of the networks needs beside it.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import canonicalize_dtype

from bn_repro import batch_norm
from bn_repro.errors import UserError

NONLINEARITIES = {"sigmoid": nn.sigmoid, "tanh": nn.tanh, "relu": nn.relu}
# The slope of each nonlinearity at x as a share of its largest.
RELATIVE_SLOPES = {
    "sigmoid": lambda x: 4 * nn.sigmoid(x) * nn.sigmoid(-x),
    "tanh": lambda x: 1 - jnp.tanh(x) ** 2,
    "relu": lambda x: (x > 0).astype(x.dtype),
}


def at_precision(method: Callable) -> Callable:
    """Returns a module's __call__ with products as exact as self.precision says.

    "default" is what JAX is told, or the device's: of float32 an NVIDIA GPU takes
    TF32, a TPU bfloat16, a CPU all of it. "highest" is float32 everywhere. Gradients
    inherit it.
    """

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        highest = self.precision == "highest"
        context = jax.default_matmul_precision if highest else contextlib.nullcontext
        with context("highest"):
            return method(self, *args, **kwargs)

    return call


class Mode(NamedTuple):
    """How a forward pass is run."""

    # normalise with the stored statistics, not the mini-batch's
    use_running_average: bool = False
    update_stats: bool = False  # move the stored statistics towards the mini-batch's
    dropout_keys: jax.Array | None = None  # one an example, [B]; None: no dropout
    mask: jax.Array | None = None  # [B] booleans, False for padding: in no statistic


class BatchNorm(nn.Module):
    """Batch Normalization (Algorithm 1); a drop-in for `flax.linen.BatchNorm`.

    The fields down to `force_float32_reductions` are flax's with its defaults and
    meanings, and so are the variables: params `scale` (gamma) and `bias` (beta),
    batch_stats `mean` and `var`. What differs: the variance is always taken in two
    passes, in float32 or wider, so `use_fast_variance` is of no effect; with a mask all
    devices' values count alike, and where it leaves none nothing moves; differentiation
    is in reverse mode only, and none of it goes through the statistics to store, whose
    dtype stays what it was: `param_dtype` if it is wider than float32 or
    `force_float32_reductions` is off, else float32. `axis` may be several; each feature
    has statistics, gamma and beta.

    Where the collection `ema_count` exists it holds the number of updates, for the bias
    correction of the moving averages; else they follow flax's rule.
    """

    use_running_average: bool | None = None
    axis: int | Sequence[int] = -1
    momentum: float = 0.99
    epsilon: float = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable = nn.initializers.zeros
    scale_init: Callable = nn.initializers.ones
    axis_name: str | Sequence[str] | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True
    # what is normalised together: "global" (the examples of all devices along
    # axis_name, as in flax), "device" (those on this device) or N (groups of N
    # consecutive examples of a device; the number of all devices' is "global"). Every
    # such group is one mini-batch B of Algorithm 2; statistics to store are means over
    # groups
    batch: str | int = "global"
    bias_correction: bool = False  # create `ema_count`
    biased: bool = True  # store the biased variance; else m / (m - 1) of it
    # "full": through the statistics too, as in Sec. 3; "stop": they are constants to
    # it, the naive way of Sec. 2
    gradient: str = "full"
    scaled: bool = True  # divide by the standard deviation; else only take off the mean
    # statistics, gamma and beta for each location of a feature map instead of each
    # feature map (Sec. 4.2.3): `axis` is all but the first
    per_activation: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        use_running_average: bool | None = None,
        update_stats: bool | None = None,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the normalised x, of the same shape.

        Args:
          x: [B, ..., C], any dtype.
          use_running_average: normalise with the stored statistics.
          update_stats: update the stored statistics; by default exactly when the
            mini-batch's own are used.
          mask: booleans broadcastable against x; values where it is False touch no
            statistic.

        Raises:
          UserError: the groups do not divide the examples on this device, or the
            unbiased variance of a single value is asked for.
        """
        if self.gradient not in ("full", "stop"):
            raise UserError(f"gradient is {self.gradient!r}; use 'full' or 'stop'")
        use_running_average = nn.merge_param(
            "use_running_average", self.use_running_average, use_running_average
        )
        if update_stats is None:
            update_stats = not use_running_average
        update_stats = update_stats and not self.is_initializing()
        x = jnp.asarray(x)
        features = self._features(x.ndim)
        shape = tuple(x.shape[axis] for axis in features)
        keep = [n if axis in features else 1 for axis, n in enumerate(x.shape)]
        scale, bias = self._scale_and_bias(shape)
        dtype = canonicalize_dtype(x, scale, bias, dtype=self.dtype)
        x = x.astype(_computed(x.dtype, dtype))
        mean, var, count = self._statistics(shape, x.dtype)
        gamma = jnp.ones(shape, self.param_dtype) if scale is None else scale
        beta = jnp.zeros(shape, self.param_dtype) if bias is None else bias
        gamma, beta = gamma.reshape(keep), beta.reshape(keep)
        stored = mean.value.reshape(keep), var.value.reshape(keep)
        if update_stats or not use_running_average:
            y, m, *new = self._normalize_groups(x, gamma, beta, features, mask)
            if update_stats:
                new = [statistic.reshape(shape) for statistic in new]
                seen = True if mask is None else jnp.sum(m, 0).reshape(shape) > 0
                self._update((mean, var), new, count, seen)
        if use_running_average:
            y = self._transform(x, *stored, gamma, beta)
        return y.astype(dtype)

    def _features(self, ndim: int) -> tuple[int, ...]:
        if self.per_activation:
            return tuple(range(1, ndim))
        axes = self.axis if isinstance(self.axis, Sequence) else [self.axis]
        return tuple(sorted({range(ndim)[axis] for axis in axes}))

    def _scale_and_bias(self, shape):
        scale = bias = None
        if self.use_scale:
            scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape, self.param_dtype)
        return scale, bias

    def _statistics(self, shape, input_dtype):
        dtype = jnp.finfo(self.param_dtype).dtype  # real
        if self.force_float32_reductions:
            dtype = jnp.promote_types(dtype, jnp.float32)
        is_complex = jnp.issubdtype(input_dtype, jnp.complexfloating)
        of_mean = jnp.promote_types(dtype, input_dtype) if is_complex else dtype
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, of_mean)
        var = self.variable("batch_stats", "var", jnp.ones, shape, dtype)
        count = None
        create = self.is_initializing() and self.bias_correction
        if create or self.has_variable("ema_count", "t"):
            count = self.variable("ema_count", "t", jnp.zeros, (), jnp.int32)
        return mean, var, count

    def _normalize_groups(self, x, gamma, beta, features, mask):
        """Returns y, the numbers of values and statistics to store: means of groups."""
        n, devices = self._groups(x.shape[0], 0 in features)
        # [B, ..., C] -> [G, N, ..., C]; statistics keep the reduced axes with size 1.
        grouped = x.reshape(n, x.shape[0] // n, *x.shape[1:])
        kept = {0, *(axis + 1 for axis in features)}
        axes = tuple(axis for axis in range(grouped.ndim) if axis not in kept)
        gamma, beta = gamma[None], beta[None]
        if mask is not None:
            mask = _grouped_mask(mask, x.ndim, n)
        traced = isinstance(self.epsilon, jax.core.Tracer)
        paper = self.scaled and self.gradient == "full"
        if paper and mask is None and not jnp.iscomplexobj(x) and not traced:
            options = self.epsilon, axes, devices
            y, mu, var = batch_norm.batch_norm(grouped, gamma, beta, *options)
        else:
            mu, var = batch_norm.moments(grouped, axes, mask, devices)
            y = self._transform(grouped, mu, var, gamma, beta)
        m = batch_norm.count_values(grouped, axes, mask, devices)
        if mask is None and m == 1 and not (self.biased or self.is_initializing()):
            raise UserError(
                f"{'/'.join(self.path)} normalises over a single value, of which there "
                f"is no variance; use a larger mini-batch or bn.batch"
            )
        mean, var = batch_norm.population_statistics(mu, var, m, self.biased)
        return y.reshape(x.shape), m, mean, var

    def _transform(self, x, mean, var, gamma, beta):
        if self.gradient == "stop":
            mean, var = jax.lax.stop_gradient((mean, var))
        if not self.scaled:
            return gamma * (x - mean).astype(x.dtype) + beta
        return batch_norm.normalize(x, mean, var, gamma, beta, self.epsilon)

    def _groups(self, examples: int, of_features: bool):
        """Returns the number of groups here, and the devices that one spans or None."""
        if self.axis_name is None or self.is_initializing():  # it need not exist then
            devices = None
        else:
            devices = batch_norm.Devices.of(self.axis_name, self.axis_index_groups)
        if self.is_initializing() or (of_features and self.batch == "global"):
            return 1, devices
        size = batch_norm.axis_size(devices) if devices else 1
        n, spanning = check_groups(self.batch, examples, size)
        if n > 1 and of_features:
            raise UserError(
                f"batch={self.batch} groups axis 0, which is one of features"
            )
        return n, devices if spanning else None

    def _update(self, stored, new, count, seen):
        """Moves the stored statistics, but those of which no value was seen."""
        t = None
        if count is not None:
            t = count.value = count.value + (1 if seen is True else jnp.any(seen))
        for variable, value in zip(stored, new, strict=True):
            before = variable.value
            value = value.astype(before.dtype)
            moved = batch_norm.moving_average(before, value, self.momentum, t)
            variable.value = moved if seen is True else jnp.where(seen, moved, before)


def _computed(input_dtype, dtype):
    """Returns the dtype to compute in: the input's digits and the output's.

    Of complex input for a real output it is the real part, as in flax.
    """
    if not jnp.issubdtype(input_dtype, jnp.inexact):
        input_dtype = jnp.float32
    is_complex = [jnp.issubdtype(d, jnp.complexfloating) for d in (input_dtype, dtype)]
    if is_complex == [True, False]:
        return dtype
    return jnp.promote_types(input_dtype, dtype)


def _grouped_mask(mask, ndim: int, groups: int):
    """Returns a mask that broadcasts against [B, ...] as one against [G, N, ...]."""
    mask = jnp.asarray(mask, bool)
    mask = mask.reshape((1,) * (ndim - mask.ndim) + mask.shape)
    if mask.shape[0] == 1:
        return mask[None]
    return mask.reshape(groups, mask.shape[0] // groups, *mask.shape[1:])


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

    `batch` is BatchNorm's, a number perhaps as text; `per_device` counts the examples
    on each of the `devices`. None where a group size neither divides a device's
    examples nor is that of all devices' together.

    Raises:
      UserError: `batch` is none of what BatchNorm takes.
    """
    if batch == "device":
        return 1, False
    if batch == "global":
        return 1, True
    if not re.fullmatch("[1-9][0-9]*", str(batch)):
        raise UserError(
            f"BatchNorm's batch is {batch!r}; it must be 'device', 'global' or a "
            "number of examples"
        )
    size = int(batch)
    if per_device % size == 0:
        return per_device // size, False
    return (1, True) if size == per_device * devices else None


def dropout(x, rate: float, keys, layer: int):
    """Returns x with a share of each example's values zeroed and the rest scaled up.

    Of x [B, ...]. `keys` are one an example, [B], or None for no dropout: a value's
    fate depends on its example alone, however the examples are spread over devices. The
    number of the `layer` makes layers differ.
    """
    if keys is None or rate == 0.0:
        return x
    shape = x.shape[1:]
    keys = jax.vmap(lambda key: jax.random.fold_in(key, layer))(keys)
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, shape))(keys)
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def norm_act(layer, x, mode: Mode):
    """Returns g(BN(x)) or BN(g(x + b)) or, without norm, g(x + b), and g's input.

    Called from the __call__ of a module that has norm, placement, nonlinearity,
    features, dtype and param_dtype. b becomes the module's parameter "bias", where no
    BN stands before g, whose beta takes its role.
    """
    g = NONLINEARITIES[layer.nonlinearity]
    if layer.norm is None or layer.placement != "before":
        of_bias = nn.initializers.zeros, (layer.features,), layer.param_dtype
        x = x + layer.param("bias", *of_bias).astype(layer.dtype)
    if layer.norm is None:
        return g(x), x
    norm = layer.norm(name="bn")
    mask = mode.mask
    if mask is not None:  # of examples
        mask = mask.reshape(mask.shape + (1,) * (x.ndim - 1))
    statistics = (mode.use_running_average, mode.update_stats, mask)
    if layer.placement == "before":
        x = norm(x, *statistics)
        return g(x), x
    return norm(g(x), *statistics), x
