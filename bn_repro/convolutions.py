"""Convolutions and pools, formulated for the platform they run on.

Every function has a plain formulation, which XLA turns into good GPU and TPU programs,
and one for CPU, where some plain ones are 2 to 40 times slower (`platforms` chooses).
Both are the same function, ties between maxima included; gradients differ by rounding
only.

Images are [B, H, W, C], kernels [height, width, C_in, C_out]. Padding is SAME, as in
TensorFlow: an odd pixel of it, which a stride of 2 leaves on images of even size, lies
at the bottom and right. Caffe and PyTorch pad both sides alike (`symmetric`), so their
windows lie one pixel further up and left; and where their average pools pad, the zeros
count. Their max pools (ceil_mode) are SAME on images of even size.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bn_repro.platforms import per_platform

# Pixels from which on XLA:CPU computes a kernel's gradient faster by matrix products.
LARGE = 10_000
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolution(x, kernel, stride: int = 1, symmetric: bool = False):
    """Returns the convolution of x with kernel, [B, ceil(H / stride), ..., C_out].

    Args:
      x: [B, H, W, C_in].
      kernel: [size, size, C_in, C_out].
      stride: of the windows.
      symmetric: pad (size - 1) / 2 on every side instead of SAME.
    """
    return _per_platform(
        _plain_convolution, _cpu_convolution, stride, symmetric, x, kernel
    )


def separable_convolution(
    x, depthwise, pointwise, stride: int = 1, symmetric: bool = False
):
    """Returns a depthwise convolution of x followed by a 1x1 convolution.

    Args:
      x: [B, H, W, C].
      depthwise: [height, width, 1, C multiplier]; outputs [c multiplier, (c + 1)
        multiplier) belong to channel c.
      pointwise: [1, 1, C multiplier, C_out].
      stride: of the depthwise convolution.
      symmetric: as in `convolution`.
    """
    return _per_platform(
        _plain_separable, _cpu_separable, stride, symmetric, x, depthwise, pointwise
    )


def max_pool(x, stride: int):
    """Returns the maxima of 3x3 windows; the first of equal ones gets the gradient."""
    return _per_platform(_plain_max_pool, _cpu_max_pool, stride, x)


def average_pool(x, stride: int, count_padding: bool = False):
    """Returns the means of 3x3 windows; padding counts as zeros or not at all."""
    return _per_platform(
        _plain_average_pool, _cpu_average_pool, stride, count_padding, x
    )


def _per_platform(plain, cpu, *args):
    """Returns `per_platform` of functions whose leading arguments, ints, are static."""
    static = tuple(a for a in args if isinstance(a, int))
    arrays = args[len(static) :]
    return per_platform(partial(cpu, *static), partial(plain, *static), *arrays)


def _plain_convolution(stride, symmetric, x, kernel, groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        _pads(x, kernel.shape[:2], (stride, stride), symmetric),
        dimension_numbers=_LAYOUT,
        feature_group_count=groups,
    )


def _pads(x, size, strides, symmetric=False):
    """Returns the padding above and below, left and right."""
    if symmetric:
        return [(n // 2, n // 2) for n in size]
    return lax.padtype_to_pads(x.shape[1:3], size, strides, "SAME")


def _plain_separable(stride, symmetric, x, depthwise, pointwise):
    between = _plain_convolution(stride, symmetric, x, depthwise, groups=x.shape[-1])
    return _plain_convolution(1, symmetric, between, pointwise)


def _plain_max_pool(stride, x):
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    lowest = np.array(-np.inf, x.dtype)  # JAX knows a maximum by a constant
    return lax.reduce_window(x, lowest, lax.max, window, strides, "SAME")


def _plain_average_pool(stride, count_padding, x):
    zero = np.array(0, x.dtype)
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    sums = lax.reduce_window(x, zero, lax.add, window, strides, "SAME")
    return sums * _window_shares(stride, count_padding, x)


def _window_shares(stride, count_padding, x):
    """Returns 1 / (number of pixels in each 3x3 window), [H', W', 1] or a scalar."""
    if count_padding:
        return jnp.asarray(1 / 9, x.dtype)
    # In numpy, because XLA spends seconds on folding a reduce_window of ones.
    pads = _pads(x, (3, 3), (stride, stride))
    rows, columns = (
        np.convolve(np.pad(np.ones(n), pad), np.ones(3), "valid")[::stride]
        for n, pad in zip(x.shape[1:3], pads, strict=True)
    )
    return jnp.asarray(1 / np.outer(rows, columns)[..., None], x.dtype)


def _cpu_convolution(stride, symmetric, x, kernel):
    if kernel.shape[:2] == (1, 1) and stride == 1:
        # As a matrix product: 2 to 3 times faster than as a convolution.
        pixels = x.reshape(-1, x.shape[-1])
        return (pixels @ kernel[0, 0]).reshape(*x.shape[:-1], -1)
    return _spatial_convolution(stride, symmetric, x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _spatial_convolution(stride, symmetric, x, kernel):
    return _plain_convolution(stride, symmetric, x, kernel)


def _spatial_forward(stride, symmetric, x, kernel):
    return _plain_convolution(stride, symmetric, x, kernel), (x, kernel)


def _spatial_backward(stride, symmetric, saved, dy):
    """On large images the kernel's gradient is one matrix product for each position."""
    x, kernel = saved
    plain = partial(_plain_convolution, stride, symmetric)
    (dx,) = jax.linear_transpose(lambda x: plain(x, kernel), x)(dy)
    if dy.size // dy.shape[-1] < LARGE or x.shape[-1] < 16:
        return dx, *jax.linear_transpose(partial(plain, x), kernel)(dy)
    height, width, channels, features = kernel.shape
    dy = dy.reshape(-1, features)
    products = [
        part.reshape(-1, channels).T @ dy
        for part in _window_parts(
            x, (height, width), (stride, stride), symmetric=symmetric
        )
    ]
    return dx, jnp.stack(products).reshape(kernel.shape)


_spatial_convolution.defvjp(_spatial_forward, _spatial_backward)


def _cpu_separable(stride, symmetric, x, depthwise, pointwise):
    """Composes the two kernels first: nothing nonlinear lies between them."""
    height, width, _, between = depthwise.shape
    channels = x.shape[-1]
    depthwise = depthwise.reshape(height, width, channels, -1)  # [..., C, multiplier]
    pointwise = pointwise.reshape(channels, between // channels, -1)
    kernel = jnp.einsum("hwcm,cmf->hwcf", depthwise, pointwise)
    return _cpu_convolution(stride, symmetric, x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cpu_max_pool(stride, x):
    return _max_pool_forward(stride, x)[0]


def _max_pool_forward(stride, x):
    """Returns the maxima and, for the gradient, where in its window each was found."""
    y, *others = _window_parts(x, (3, 3), (stride, stride), -jnp.inf)
    place = jnp.zeros(y.shape, jnp.int8)
    for i, part in enumerate(others, start=1):
        place = jnp.where(part > y, jnp.int8(i), place)
        y = jnp.maximum(y, part)
    return y, (x, place)


def _max_pool_backward(stride, saved, dy):
    """Adds up for each pixel what the windows that found their maximum there hand it.

    Pixel stride n + p of the padded image is at place p of window n, at place
    p + stride of window n - 1 and so on: pixels with one p are one array.
    """
    x, place = saved
    reach = 2 // stride  # a pixel is in so many windows before its own
    around = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    place = jnp.pad(place, around, constant_values=-1)
    dy = jnp.pad(dy, around)
    rows, columns = (n - reach for n in dy.shape[1:3])

    def handed(i, j):
        top, left = reach - i // stride, reach - j // stride
        windows = np.s_[:, top : top + rows, left : left + columns]
        return jnp.where(place[windows] == 3 * i + j, dy[windows], 0)

    def pixels(p, q):
        places = itertools.product(range(p, 3, stride), range(q, 3, stride))
        return sum(handed(i, j) for i, j in places)

    steps = range(stride)
    dx = jnp.stack([jnp.stack([pixels(p, q) for q in steps], 3) for p in steps], 2)
    dx = dx.reshape(x.shape[0], rows * stride, columns * stride, x.shape[-1])
    (top, _), (left, _) = _pads(x, (3, 3), (stride, stride))
    return (dx[:, top : top + x.shape[1], left : left + x.shape[2]],)


_cpu_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _cpu_average_pool(stride, count_padding, x):
    """Sums columns, then rows: six terms a pixel instead of nine."""
    columns = sum(_window_parts(x, (1, 3), (1, stride)))
    sums = sum(_window_parts(columns, (3, 1), (stride, 1)))
    return sums * _window_shares(stride, count_padding, x)


def _window_parts(x, size, strides, padding_value=0.0, symmetric=False):
    """Returns for each place in a window the pixels at that place, [B, H', W', C].

    Rows of the window come first, the order in which XLA looks for a maximum.
    """
    pads = _pads(x, size, strides, symmetric)
    value = jnp.array(padding_value, x.dtype)
    x = lax.pad(x, value, ((0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)))
    rows, columns = (n - k + 1 for n, k in zip(x.shape[1:3], size, strict=True))
    return tuple(
        x[:, i : i + rows : strides[0], j : j + columns : strides[1]]
        for i in range(size[0])
        for j in range(size[1])
    )
