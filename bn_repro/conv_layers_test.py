"""Holds the convolutional layer and LRN against float64 numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import layers
from bn_repro.conv_layers import ConvNormAct, local_response_norm

NORM = partial(layers.BatchNorm, epsilon=1e-3)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def apply(layer, u, **kwargs):
    variables = layer.init(jax.random.key(0), u, layers.Mode())
    return layer.apply(variables, u, layers.Mode(**kwargs)), variables


@pytest.mark.parametrize(("scale", "separable_scale"), [(1.0, 1.0), (4.0, 16.0)])
def test_initial_weights_keep_a_relus_variance(scale, separable_scale):
    """Var[w] = 2 / fan-in; a separable layer's two kernels compose to the same."""
    u = jnp.zeros((1, 8, 8, 3))
    init = lambda layer: layer.init(jax.random.key(0), u, layers.Mode())["params"]  # noqa: E731
    full = init(ConvNormAct(256, "relu", size=7, init_scale=scale))["kernel"]
    np.testing.assert_allclose(np.std(full), scale * (2 / 147) ** 0.5, rtol=0.02)
    limit = np.abs(full).max() / np.std(full)
    assert limit < 2.3  # truncated at two of the untruncated deviations

    separable = init(ConvNormAct(256, "relu", size=7, multiplier=64, init_scale=scale))
    depthwise = separable["depthwise"]["kernel"].reshape(7, 7, 3, 64)
    pointwise = separable["pointwise"]["kernel"].reshape(3, 64, 256)
    composed = np.einsum("hwcm,cmf->hwcf", depthwise, pointwise)
    deviation = separable_scale * (2 / 147) ** 0.5
    np.testing.assert_allclose(np.std(composed), deviation, rtol=0.03)


def test_the_computation_has_the_asked_dtype_and_the_statistics_are_wide():
    u = normal(2, 4, 4, 3)
    norm = partial(NORM, dtype=jnp.bfloat16)
    layer = ConvNormAct(5, "relu", size=3, norm=norm, dtype=jnp.bfloat16)
    (z, tap), variables = apply(layer, u)
    assert z.dtype == tap.dtype == jnp.bfloat16
    for name in ("params", "batch_stats"):
        for leaf in jax.tree.leaves(variables[name]):
            assert leaf.dtype == jnp.float32


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_local_response_norm_divides_by_its_neighbours(channels):
    x = 300 * normal(2, 3, 3, channels)  # large, so that it matters
    squares = np.pad(x**2, ((0, 0),) * 3 + ((2, 2),))
    total = sum(squares[..., i : i + channels] for i in range(5))
    expected = x / (1 + 1e-4 / 5 * total) ** 0.75
    assert np.abs(expected / x).min() < 0.7
    np.testing.assert_allclose(local_response_norm(np.float32(x)), expected, rtol=1e-5)
    low = local_response_norm(jnp.asarray(x, jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float64(low), expected, rtol=2e-2)
