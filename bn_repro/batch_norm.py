"""Algorithms 1 and 2 of Ioffe & Szegedy (2015) as pure functions of arrays.

The letters are the paper's: x the input, mu and var a mini-batch's mean and biased
variance, m the number of values behind each of them, gamma and beta the learned scale
and shift, eps the constant added to the variance.

`axes` are the axes that statistics are taken over. Everything that belongs to one
activation (mu, var, gamma, beta) keeps them with size 1 and so broadcasts against x:

    fully connected   x [B, units]       axes (0,)       gamma [1, units]
    convolutional     x [B, H, W, C]     axes (0, 1, 2)  gamma [1, 1, 1, C]
    per activation    x [B, H, W, C]     axes (0,)       gamma [1, H, W, C]
    groups of N       x [G, N, H, W, C]  axes (1, 2, 3)  gamma [1, 1, 1, 1, C]

Statistics are computed in float32 or wider, in two passes: E[x^2] - E[x]^2 loses all
digits of the variance when the mean is large against the standard deviation.

It has more than 250 lines so that the paper's two algorithms and the gradient between
them are read in one place.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bn_repro.platforms import per_platform


class Devices(NamedTuple):
    """Those that a mini-batch is spread over, where it is not all of one mesh axis."""

    axis_name: str | tuple[str, ...]  # mesh axis or axes
    # of device indices along it; None for all devices
    groups: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(cls, axis_name, groups=None):
        """Returns axis_name itself where it says everything; hashable in any case."""
        if isinstance(axis_name, str) and groups is None:
            return axis_name
        groups = groups and tuple(tuple(group) for group in groups)
        name = axis_name if isinstance(axis_name, str) else tuple(axis_name)
        return cls(name, groups)


_SLOW_SUMS = jax.__version_info__ < (0, 12)  # see `_sum_of_maps`
Array = jax.Array
Axes = Sequence[int]
AxisName = str | tuple[str, ...] | Devices | None  # mesh axis; None: one device


def axis_size(devices: AxisName) -> int:
    """Returns how many devices a mini-batch is spread over."""
    name, groups = _name_and_groups(devices)
    return len(groups[0]) if groups else lax.axis_size(name)


def _name_and_groups(devices):
    return devices if isinstance(devices, Devices) else (devices, None)


def _sum_over(x, devices):
    name, groups = _name_and_groups(devices)
    return lax.psum(x, name, axis_index_groups=groups)


def _varying(x) -> frozenset:
    """Returns the mesh axes along which x differs, where shard_map checks them."""
    return jax.typeof(x).manual_axis_type.varying


def _gathered(x, devices):
    """Returns x [k, 1, ...] of all devices, [k, devices, ...], the same on each."""
    name, groups = _name_and_groups(devices)
    varying = _varying(x)
    for one in (name,) if isinstance(name, str) else name:
        to = "invarying" if one in varying and not groups else "varying"
        x = lax.all_gather(x, one, axis=1, tiled=True, axis_index_groups=groups, to=to)
    return x


def algorithm_1(x: Array, gamma: Array, beta: Array, eps: float, axes: Axes) -> Array:
    """Returns the Batch Normalizing Transform of x, line by line as in Algorithm 1.

    Plain and differentiable in forward and reverse mode; `batch_norm` computes the same
    with less memory traffic.

    Args:
      x: values over a mini-batch, any floating dtype.
      gamma: scale, broadcastable against x.
      beta: shift, broadcastable against x.
      eps: constant added to the variance.
      axes: axes of the mini-batch.
    """
    mu = jnp.mean(x, axes, keepdims=True)  # mini-batch mean
    var = jnp.mean((x - mu) ** 2, axes, keepdims=True)  # mini-batch variance
    x_hat = (x - mu) / jnp.sqrt(var + eps)  # normalize
    return gamma * x_hat + beta  # scale and shift


def moments(
    x: Array, axes: Axes, mask: Array | None = None, axis_name: AxisName = None
) -> tuple[Array, Array]:
    """Returns the mean and biased variance of x over axes, float32 or wider.

    Args:
      x: values, any floating dtype.
      axes: axes to reduce; they stay with size 1.
      mask: booleans broadcastable against x; only values where it is True count. Where
        none does, both moments are 0.
      axis_name: mesh axis (or Devices) over which the values are spread; without a
        mask in equal parts. None when all of them are on this device.
    """
    x = x.astype(_wide(x))
    m = count_values(x, axes, mask)

    def average(v):
        counted = v if mask is None else jnp.where(mask, v, 0)
        return _sum(counted, axes) / jnp.maximum(m, 1)

    mu = average(x)
    centred = x - mu
    var = average(_square(centred))
    if axis_name is None or axis_size(axis_name) == 1:
        return mu, var
    return combine_moments(mu, average(centred), var, axis_name, m)


def count_values(
    x: Array, axes: Axes, mask: Array | None = None, axis_name: AxisName = None
) -> Array | int:
    """Returns m, how many values of x each statistic over axes is taken from.

    A number without a mask; an array with axes of size 1 with one (see `moments`).
    """
    if mask is None:
        m = math.prod(x.shape[axis] for axis in axes)
        return m if axis_name is None else m * axis_size(axis_name)
    dtype = jnp.finfo(_wide(x)).dtype  # real where x is complex
    m = jnp.sum(jnp.broadcast_to(mask, x.shape), axes, keepdims=True, dtype=dtype)
    return m if axis_name is None else _sum_over(m, axis_name)


def combine_moments(
    mu: Array, residual: Array, var: Array, axis_name: AxisName, m: Array | int
) -> tuple[Array, Array]:
    """Returns the mean and variance of the union of all devices' values.

    Chan's formula with one all-gather: the spread of the devices' means is part of the
    variance. Means are taken off one of their own before anything is squared, and
    their rounding errors are put right, so it holds for means far above the spread.

    Args:
      mu: mean of this device's values, as rounded.
      residual: mean of x - mu, what rounding took from the mean.
      var: mean of (x - mu)^2.
      axis_name: mesh axis.
      m: number of values behind them on this device; a number means the same on all.
    """
    local = [mu, residual, var, jnp.broadcast_to(jnp.asarray(m, mu.dtype), mu.shape)]
    mus, residuals, vars_, ms = _gathered(jnp.stack(local)[:, None], axis_name)
    vars_, ms = jnp.real(vars_), jnp.real(ms)
    share = ms / jnp.maximum(jnp.sum(ms, 0), 1)
    offset = (mus - mus[0]) + residuals
    mean_offset = jnp.sum(share * offset, 0)
    within = vars_ - _square(residuals)
    between = _square(offset - mean_offset)
    return mus[0] + mean_offset, jnp.sum(share * (within + between), 0)


def normalize(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    """Returns gamma (x - mean) / sqrt(var + eps) + beta in x's dtype.

    With the statistics of Algorithm 2 this is the inference transform; x is centred
    before it is scaled, which keeps the digits that `linear_map` loses when the mean is
    large.
    """
    scale = gamma * lax.rsqrt(var + eps)
    return ((x.astype(_wide(x)) - mean) * scale + beta).astype(x.dtype)


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    axes: Axes,
    axis_name: AxisName = None,
) -> tuple[Array, Array, Array]:
    """Returns Algorithm 1's y with the statistics it used: (y, mu, var).

    The same function as `algorithm_1`, with the gradient of Sec. 3 written out: between
    the passes it keeps x, gamma, mu and 1 / sqrt(var + eps) and no other array of x's
    size. No gradient flows through the returned mu and var. Reverse mode only.

    Args:
      x: values over a mini-batch, any floating dtype; y has the same.
      gamma: scale, float32 or wider, size 1 along axes or without the first of them.
      beta: shift, like gamma.
      eps: constant added to the variance.
      axes: axes of the mini-batch, as a tuple.
      axis_name: mesh axis over which the mini-batch is spread in equal parts; None when
        all of it is on this device.
    """
    whole = lambda v: jnp.reshape(v, (1,) * (x.ndim - jnp.ndim(v)) + jnp.shape(v))  # noqa: E731
    gamma, beta = whole(gamma), whole(beta)
    missing = tuple(_varying(x) - _varying(gamma))
    if missing:  # where shard_map checks them, their gradients are summed by it
        gamma, beta = lax.pcast((gamma, beta), missing, to="varying")
    return _batch_norm(x, gamma, beta, eps, axes, axis_name)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _batch_norm(x, gamma, beta, eps, axes, axis_name):
    return _forward(x, gamma, beta, eps, axes, axis_name)[0]


def _forward(x, gamma, beta, eps, axes, axis_name):
    mu, var = moments(x, axes, axis_name=axis_name)
    inverse = lax.rsqrt(var + eps)
    y = ((x.astype(mu.dtype) - mu) * (gamma * inverse) + beta).astype(x.dtype)
    return (y, mu, var), (x, gamma, mu, inverse)


def _backward(eps, axes, axis_name, saved, cotangents):
    """The chain rule of Sec. 3, with the two sums it needs written once.

    Of the cotangents only y's counts: mu and var are for the stored statistics.

    Inserting dl/dvar and dl/dmu into dl/dx gives
    dl/dx = gamma / sqrt(var + eps) (dy - mean(dy) - x_hat mean(dy x_hat)).
    """
    x, gamma, mu, inverse = saved
    dy = cotangents[0].astype(mu.dtype)
    centred = x.astype(mu.dtype) - mu
    sum_dy = _sum(dy, axes)
    sum_dy_x_hat = _sum(dy * centred, axes) * inverse
    dbeta = _sum_to(sum_dy, gamma)
    dgamma = _sum_to(sum_dy_x_hat, gamma)
    m = count_values(x, axes, axis_name=axis_name)
    if axis_name is not None:
        sum_dy, sum_dy_x_hat = _sum_over((sum_dy, sum_dy_x_hat), axis_name)
    dx = gamma * inverse * (dy - sum_dy / m - centred * (inverse * sum_dy_x_hat / m))
    return dx.astype(x.dtype), dgamma, dbeta


_batch_norm.defvjp(_forward, _backward)


def unbiased(var: Array, m: Array | int) -> Array:
    """Returns m / (m - 1) var, Algorithm 2's estimate; var itself where m is 1."""
    return var * (m / jnp.maximum(m - 1, 1))


def population_statistics(
    mus: Array, vars_: Array, m: Array | int, biased: bool = False
) -> tuple[Array, Array]:
    """Returns E[x] and Var[x] of Algorithm 2 from N training mini-batches.

    Args:
      mus: means of the mini-batches, [N, ...].
      vars_: their biased variances, [N, ...].
      m: values behind each of them (for convolutions B H W, Sec. 3.2): a number, or
        one for each, broadcastable against mus; those of 0 values do not count.
      biased: average the variances as they are, as flax does, not m / (m - 1) of them.
    """
    counts = (jnp.broadcast_to(m, vars_.shape) > 0).astype(vars_.dtype)
    share = counts / jnp.maximum(jnp.sum(counts, 0, keepdims=True), 1)
    average = lambda s: jnp.sum(share * s, 0)  # noqa: E731
    return average(mus), average(vars_ if biased else unbiased(vars_, m))


def linear_map(
    mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    """Returns (a, b) such that inference BN is y = a x + b (Algorithm 2, step 11)."""
    a = gamma / jnp.sqrt(var + eps)
    return a, beta - a * mean


def moving_average(
    average: Array, new: Array, decay: float, t: Array | int | None = None
) -> Array:
    """Returns the moving average of a statistic after one more step.

    Args:
      average: its value before the step.
      new: the statistic of this step's mini-batch.
      decay: share of the old average that a step keeps.
      t: number of this step, from 1. The bias-corrected average weighs the new value by
        (1 - decay) / (1 - decay^t), so the first step's statistic replaces the initial
        value. None gives flax's rule, weight 1 - decay.
    """
    if t is None:
        return average + (1 - decay) * (new - average)
    if decay in (0, 1):  # the last one alone; the plain mean of all
        weight = 1 / t if decay else 1
    else:
        log_decay = math.log(decay)
        # expm1 keeps the digits of 1 - decay.
        weight = math.expm1(log_decay) / jnp.expm1(log_decay * t)
    return average + weight * (new - average)


def _sum(x, axes):
    """Returns the sum of x over axes, which stay with size 1."""
    plain = partial(jnp.sum, axis=axes, keepdims=True)
    last = tuple(range(x.ndim - 1 - len(axes), x.ndim - 1))  # B, H and W
    if not _SLOW_SUMS or len(axes) < 2 or tuple(axes) != last:
        return plain(x)
    return per_platform(partial(_sum_of_maps, axes[0]), plain, x)


def _sum_of_maps(first, x):
    """Returns the same of x [..., B, H, W, C], B its axis `first`, by matrix products.

    XLA:CPU before jax 0.12 adds up maps of more than 32 x 32 values four times more
    slowly than it multiplies them by ones, and with six times the rounding error.
    """
    places = math.prod(x.shape[first + 1 : -1])
    maps = x.reshape(*x.shape[: first + 1], places, x.shape[-1])
    batch = tuple(range(first + 1))
    dimensions = ((first + 1,), (first + 1,)), (batch, batch)
    of_maps = lax.dot_general(jnp.ones(maps.shape[:-1], x.dtype), maps, dimensions)
    total = jnp.sum(of_maps, first, keepdims=True)
    return total.reshape(*total.shape[:-1], *(1,) * (x.ndim - first - 2), -1)


def _square(x):
    """Returns |x|^2."""
    return x.real**2 + x.imag**2 if jnp.iscomplexobj(x) else x**2


def _wide(x):
    """Returns the dtype in which statistics of x are computed: float32 or wider."""
    return jnp.promote_types(x.dtype, jnp.float32)


def _sum_to(x, target):
    """Returns x summed over the axes along which target has size 1."""
    axes = tuple(i for i in range(x.ndim) if target.shape[i] == 1)
    return jnp.sum(x, axes, keepdims=True).astype(target.dtype)
