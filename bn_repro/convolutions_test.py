"""Holds every formulation against float64 oracles, and lowerings to their platform."""

import collections
import re
from functools import partial

import jax
import jax.export  # not an attribute of jax before it is imported
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import convolutions
from bn_repro.platforms import for_export

FORMULATIONS = ["cpu", "plain"]


@pytest.fixture(params=FORMULATIONS)
def formulation(request, monkeypatch):
    """Runs a test with what CPU runs and with what every other platform runs."""
    if request.param == "plain":
        use_plain(monkeypatch)


def use_plain(monkeypatch):
    def plain_everywhere(plain, cpu, *args):
        static = [a for a in args if isinstance(a, int)]
        return plain(*static, *args[len(static) :])

    monkeypatch.setattr(convolutions, "_per_platform", plain_everywhere)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def windows(x, size, stride, value, symmetric=False):
    """Returns [B, H', W', size, size, C]: SAME windows, one pixel after another."""
    out = [-(-n // stride) for n in x.shape[1:3]]
    totals = [
        max((o - 1) * stride + size - n, 0)
        for o, n in zip(out, x.shape[1:3], strict=True)
    ]
    pads = [(total // 2, total - total // 2) for total in totals]
    pads = [(size // 2, size // 2)] * 2 if symmetric else pads
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)
    result = np.empty((x.shape[0], *out, size, size, x.shape[-1]))
    for i, j in np.ndindex(*out):
        row, column = i * stride, j * stride
        result[:, i, j] = x[:, row : row + size, column : column + size]
    return result


def run(function, *args):
    """Returns the value, a random dy and the gradients of sum(dy value), in float64."""
    with jax.enable_x64(True):
        args = [jnp.asarray(a, jnp.float64) for a in args]
        dy = normal(*jax.eval_shape(function, *args).shape, seed=5)

        def value_and_gradients(*args):
            y, pullback = jax.vjp(function, *args)
            return y, pullback(jnp.asarray(dy))

        y, gradients = jax.jit(value_and_gradients)(*args)
        return np.asarray(y), dy, [np.asarray(g) for g in gradients]


def assert_gradient(gradient, dy, linear):
    """The gradient of sum(dy y) is dy pulled back through y's linear dependence."""
    step = normal(*gradient.shape, seed=6)
    expected = np.sum(dy * linear(step))
    np.testing.assert_allclose(np.sum(gradient * step), expected, rtol=1e-10)


def by_window(x, kernel, stride, symmetric=False):
    parts = windows(x, kernel.shape[0], stride, 0, symmetric)
    return np.einsum("bxyhwc,hwcf->bxyf", parts, kernel, optimize=True)


@pytest.mark.usefixtures("formulation")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("size", "shape"), [(1, (2, 8, 7, 5)), (3, (2, 7, 6, 17)), (7, (2, 8, 8, 3))]
)
@pytest.mark.parametrize("large", [1, 10_000])
def test_convolution_sums_over_windows(size, shape, stride, large, monkeypatch):
    monkeypatch.setattr(convolutions, "LARGE", large)
    x, kernel = normal(*shape), normal(size, size, shape[-1], 5, seed=1)
    convolution = partial(convolutions.convolution, stride=stride)
    y, dy, (dx, dkernel) = run(convolution, x, kernel)
    np.testing.assert_allclose(y, by_window(x, kernel, stride), atol=1e-12)
    assert_gradient(dx, dy, lambda step: by_window(step, kernel, stride))
    assert_gradient(dkernel, dy, lambda step: by_window(x, step, stride))


@pytest.mark.usefixtures("formulation")
@pytest.mark.parametrize(("size", "shape"), [(3, (2, 7, 6, 17)), (7, (2, 8, 8, 3))])
@pytest.mark.parametrize("large", [1, 10_000])
def test_symmetric_padding(size, shape, large, monkeypatch):
    monkeypatch.setattr(convolutions, "LARGE", large)
    x, kernel = normal(*shape), normal(size, size, shape[-1], 5, seed=1)
    oracle = partial(by_window, stride=2, symmetric=True)
    convolution = partial(convolutions.convolution, stride=2, symmetric=True)
    y, dy, (dx, dkernel) = run(convolution, x, kernel)
    np.testing.assert_allclose(y, oracle(x, kernel), atol=1e-12)
    assert_gradient(dx, dy, lambda step: oracle(step, kernel))
    assert_gradient(dkernel, dy, lambda step: oracle(x, step))
    assert np.abs(y - by_window(x, kernel, 2)).max() > 1  # SAME is another function


def depthwise_then_1x1(x, depthwise, pointwise, symmetric=False):
    by_channel = depthwise.reshape(7, 7, 3, 8)  # output 8 c + m sees channel c only
    parts = windows(x, 7, 2, 0, symmetric)
    between = np.einsum("bxyhwc,hwcm->bxycm", parts, by_channel, optimize=True)
    return between.reshape(*parts.shape[:3], 24) @ pointwise[0, 0]


@pytest.mark.usefixtures("formulation")
@pytest.mark.parametrize("symmetric", [False, True])
def test_separable_convolution_is_depthwise_then_1x1(symmetric):
    x = normal(2, 9, 8, 3)
    kernels = normal(7, 7, 1, 24, seed=1), normal(1, 1, 24, 5, seed=2)
    separable = partial(
        convolutions.separable_convolution, stride=2, symmetric=symmetric
    )
    y, dy, gradients = run(separable, x, *kernels)
    oracle = partial(depthwise_then_1x1, symmetric=symmetric)
    np.testing.assert_allclose(y, oracle(x, *kernels), atol=1e-11)
    assert_gradient(gradients[0], dy, lambda step: oracle(step, *kernels))
    assert_gradient(gradients[1], dy, lambda step: oracle(x, step, kernels[1]))
    assert_gradient(gradients[2], dy, lambda step: oracle(x, kernels[0], step))


@pytest.mark.usefixtures("formulation")
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (2, 7, 1, 3)])
def test_max_pool_and_the_first_of_equal_maxima_gets_the_gradient(shape, stride):
    x = np.random.default_rng(0).integers(0, 3, shape).astype(float)  # many ties
    y, dy, (dx,) = run(partial(convolutions.max_pool, stride=stride), x)
    parts = windows(x, 3, stride, -np.inf)
    np.testing.assert_array_equal(y, parts.max((3, 4)))

    pixels = windows(np.arange(x.size).reshape(shape), 3, stride, -1)
    flat = parts.reshape(*y.shape[:3], 9, -1)  # rows first
    first = flat.argmax(3)[:, :, :, None]
    taken = np.take_along_axis(pixels.reshape(flat.shape), first, 3)
    expected = np.bincount(taken.astype(int).ravel(), dy.ravel(), x.size)
    np.testing.assert_allclose(dx.ravel(), expected, atol=1e-14)


@pytest.mark.usefixtures("formulation")
def test_max_pool_hands_on_what_is_not_finite():
    x = np.zeros((1, 7, 7, 1), np.float32)
    x[0, 3, 3], x[0, 0, 0] = np.nan, np.inf
    y = np.asarray(convolutions.max_pool(x, 2)[0, :, :, 0])
    assert np.isnan(y[1:3, 1:3]).all() and np.isinf(y[0, 0])
    assert np.isfinite(y).sum() == 16 - 5


@pytest.mark.usefixtures("formulation")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (2, 7, 1, 3)])
@pytest.mark.parametrize("count_padding", [False, True])
def test_average_pool_counts_padding_or_not(shape, stride, count_padding):
    def oracle(x):
        value = 0 if count_padding else np.nan
        return np.nanmean(windows(x, 3, stride, value), (3, 4))

    x = normal(*shape)
    pool = partial(convolutions.average_pool, stride=stride)
    y, dy, (dx,) = run(partial(pool, count_padding=count_padding), x)
    np.testing.assert_allclose(y, oracle(x), atol=1e-14)
    assert_gradient(dx, dy, oracle)


def training_pass(x, kernel, depthwise, pointwise, one_by_one):
    """Every function of the module once, with its gradients."""

    def loss(kernels):
        kernel, depthwise, pointwise, one_by_one = kernels
        z = convolutions.separable_convolution(x, depthwise, pointwise, 2)
        z = convolutions.average_pool(convolutions.max_pool(z, 2), 1)
        z = convolutions.convolution(z, one_by_one)
        return jnp.sum(jnp.sin(convolutions.convolution(z, kernel)))

    return jax.grad(loss)((kernel, depthwise, pointwise, one_by_one))


def operations(platform):
    shapes = [(8, 224, 224, 3), (3, 3, 24, 32), (7, 7, 1, 24), (1, 1, 24, 16)]
    arguments = [
        jax.ShapeDtypeStruct(s, jnp.float32) for s in (*shapes, (1, 1, 16, 24))
    ]
    with for_export(True):
        export = jax.export.export(jax.jit(training_pass), platforms=(platform,))
        exported = export(*arguments)
    return collections.Counter(re.findall(r"stablehlo\.(\w+)", exported.mlir_module()))


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_other_platforms_get_the_plain_operations_only(platform):
    counts = operations(platform)
    # Forward 4 (the separable one is two); kernels' gradients 4, inputs' 3.
    assert counts["convolution"] == 11
    assert counts["dot_general"] == 0
    assert counts["select_and_scatter"] == 1
    assert counts["reduce_window"] == 3  # a maximum; an average and its gradient


def test_cpu_gets_matrix_products():
    counts = operations("cpu")
    assert counts["dot_general"] >= 9 + 3  # 3x3 kernel's gradient; the 1x1 layer
    assert counts["convolution"] == 4  # 7x7 and 3x3 forward, one gradient of each
    assert counts["select_and_scatter"] == counts["reduce_window"] == 0
