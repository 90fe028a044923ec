"""Holds the BN mathematics against float64 numpy written from the paper."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import batch_norm

pytestmark = pytest.mark.accelerator
EPS = 1e-5
# name -> (shape of x, axes of the mini-batch, shape of gamma)
CASES = {
    "fully_connected": ((60, 100), (0,), (1, 100)),
    "convolutional": ((16, 7, 7, 8), (0, 1, 2), (1, 1, 1, 8)),
    "per_activation": ((32, 5, 4, 3), (0,), (1, 5, 4, 3)),
    "groups": ((4, 8, 3, 3, 6), (1, 2, 3), (1, 1, 1, 1, 6)),
}


def paper_forward(x, gamma, beta, eps, axes):
    """Algorithm 1 in float64."""
    mu = x.mean(axes, keepdims=True)
    var = ((x - mu) ** 2).mean(axes, keepdims=True)
    return gamma * (x - mu) / np.sqrt(var + eps) + beta, mu, var


def paper_gradient(x, gamma, eps, axes, dy):
    """The chain rule of Sec. 3 before simplification, in float64."""
    m = np.prod([x.shape[axis] for axis in axes])
    total = lambda v: v.sum(axes, keepdims=True)  # noqa: E731
    mu = x.mean(axes, keepdims=True)
    var = ((x - mu) ** 2).mean(axes, keepdims=True)
    x_hat = (x - mu) / np.sqrt(var + eps)
    dx_hat = dy * gamma
    dvar = total(dx_hat * (x - mu) * -0.5 * (var + eps) ** -1.5)
    dmu = total(dx_hat * -1 / np.sqrt(var + eps)) + dvar * total(-2 * (x - mu)) / m
    dx = dx_hat / np.sqrt(var + eps) + dvar * 2 * (x - mu) / m + dmu / m
    over = tuple(i for i in range(x.ndim) if gamma.shape[i] == 1)
    return dx, (dy * x_hat).sum(over, keepdims=True), dy.sum(over, keepdims=True)


def example(case, mean_over_std=1.0, seed=0):
    shape, axes, gamma_shape = CASES[case]
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 2 + 2 * mean_over_std).astype(np.float32)
    gamma = rng.normal(1, 0.3, gamma_shape).astype(np.float32)
    beta = rng.normal(size=gamma_shape).astype(np.float32)
    dy = rng.normal(size=shape).astype(np.float32)
    return x, gamma, beta, dy, axes


def fused(x, gamma, beta, axes):
    return batch_norm.batch_norm(x, gamma, beta, EPS, axes)[0]


def relative(ours, oracle):
    return np.abs(np.float64(ours) - oracle).max() / np.abs(oracle).max()


@pytest.mark.parametrize("case", CASES)
def test_forward_is_algorithm_1(case):
    x, gamma, beta, _, axes = example(case)
    y, mu, var = jax.jit(batch_norm.batch_norm, static_argnums=(3, 4))(
        x, gamma, beta, EPS, axes
    )
    wide = [np.float64(a) for a in (x, gamma, beta)]
    expected = paper_forward(*wide, EPS, axes)
    for ours, oracle in zip((y, mu, var), expected, strict=True):
        assert relative(ours, oracle) < 2e-6
    plain = batch_norm.algorithm_1(x, gamma, beta, EPS, axes)
    assert relative(plain, expected[0]) < 2e-6


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mean_over_std", [0, 10])
def test_gradient_is_section_3(case, mean_over_std):
    x, gamma, beta, dy, axes = example(case, mean_over_std)

    @jax.jit
    def gradient(*values):
        return jax.vjp(lambda *a: fused(*a, axes), *values)[1](dy)

    wide = [np.float64(a) for a in (x, gamma)]
    expected = paper_gradient(*wide, EPS, axes, np.float64(dy))
    bound = 2e-6 if jax.__version_info__ >= (0, 12) else 2e-5
    for ours, oracle in zip(gradient(x, gamma, beta), expected, strict=True):
        assert relative(ours, oracle) < bound


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_autodiff_of_algorithm_1(case):
    with jax.enable_x64(True):
        x, gamma, beta, dy, axes = map_float64(example(case))

        @partial(jax.jit, static_argnums=0)
        def gradient(norm, *values):
            return jax.vjp(norm, *values)[1](dy)

        norms = (
            lambda *a: fused(*a, axes),
            lambda *a: batch_norm.algorithm_1(*a, EPS, axes),
        )
        ours, plain = (gradient(norm, x, gamma, beta) for norm in norms)
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def map_float64(values):
    *arrays, axes = values
    return *(jnp.asarray(a, jnp.float64) for a in arrays), axes


@pytest.mark.parametrize("mean_over_std", [1, 100, 1000])
def test_variance_keeps_its_digits_when_the_mean_is_large(mean_over_std):
    x, *_, axes = example("convolutional", mean_over_std)
    _, var = jax.jit(batch_norm.moments, static_argnums=1)(x, axes)
    oracle = np.float64(x).var(axes, keepdims=True)
    np.testing.assert_allclose(var, oracle, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 3), (0,)),
        ((2, 3, 4, 5), (0,)),
        ((5, 7, 3), (0, 1)),
        ((2, 40, 4, 5), (0, 1, 2)),
        ((3, 5, 4, 2, 3), (1, 2, 3)),
        ((0, 4, 4, 3), (0, 1, 2)),
        ((2, 3, 4, 5), ()),
    ],
)
def test_moments_are_over_the_axes_that_are_named(shape, axes):
    x = jax.random.normal(jax.random.key(0), shape)
    m = max(1, np.prod([shape[axis] for axis in axes]))
    mean = np.float64(x).sum(axes, keepdims=True) / m
    var = ((np.float64(x) - mean) ** 2).sum(axes, keepdims=True) / m
    for found, expected in zip(batch_norm.moments(x, axes), (mean, var), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_rounding_took_from_the_means_is_put_right():
    x = np.random.default_rng(0).normal(1000, 1, (4, 100, 3)).astype(np.float32)
    mu = np.float32(np.float64(x).mean(1) + [[0.1], [-0.1], [0], [0.2]])
    centred = np.float64(x) - mu[:, None]
    local = mu, np.float32(centred.mean(1)), np.float32((centred**2).mean(1))
    union = partial(batch_norm.combine_moments, axis_name="devices", m=100)
    mean, var = jax.vmap(union, axis_name="devices")(*local)
    flat = np.float64(x).reshape(-1, 3)
    for device in range(4):
        np.testing.assert_allclose(mean[device], flat.mean(0), rtol=2e-7)
        np.testing.assert_allclose(var[device], flat.var(0), rtol=1e-5)


def test_statistics_of_bfloat16_are_float32_and_output_is_bfloat16():
    x, gamma, beta, dy, axes = example("convolutional")
    x = jnp.asarray(x, jnp.bfloat16)
    y, mu, var = batch_norm.batch_norm(x, gamma, beta, EPS, axes)
    assert (y.dtype, mu.dtype, var.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    oracle = np.float64(x.astype(jnp.float32))
    np.testing.assert_allclose(var, oracle.var(axes, keepdims=True), rtol=1e-5)


def test_backward_keeps_one_array_of_the_inputs_size():
    x, gamma, beta, _, axes = example("convolutional")
    _, pullback = jax.vjp(lambda *a: fused(*a, axes), x, gamma, beta)
    kept = [leaf.size for leaf in jax.tree.leaves(pullback) if hasattr(leaf, "size")]
    assert sum(size >= x.size for size in kept) == 1


def test_returned_statistics_carry_no_gradient():
    x, gamma, beta, _, axes = example("fully_connected")
    for i in (1, 2):
        total = lambda x: batch_norm.batch_norm(x, gamma, beta, EPS, axes)[i].sum()  # noqa: B023, E731
        np.testing.assert_array_equal(jax.grad(total)(x), 0)


@pytest.mark.parametrize("a", [0.1, 7.0])
def test_scale_of_the_weights_does_not_matter(a):
    """Sec. 3.3, exact for eps = 0."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        u, w = rng.normal(size=(20, 6)), rng.normal(size=(6, 4))
        dy = rng.normal(size=(20, 4))
        one, zero = jnp.ones((1, 4)), jnp.zeros((1, 4))

        def output(u, w):
            return batch_norm.batch_norm(u @ w, one, zero, 0.0, (0,))[0]

        y, pullback = jax.vjp(output, u, w)
        y_scaled, pullback_scaled = jax.vjp(output, u, a * w)
        du, dw = pullback(dy)
        du_scaled, dw_scaled = pullback_scaled(dy)
        np.testing.assert_allclose(y_scaled, y, rtol=1e-9)
        np.testing.assert_allclose(du_scaled, du, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(dw_scaled, dw / a, rtol=1e-9, atol=1e-12)


def test_masked_moments_see_the_unmasked_values_only():
    x, *_ = example("convolutional")
    mask = (np.arange(len(x)) % 3 > 0)[:, None, None, None]
    x = np.where(mask, x, np.nan)
    mu, var = batch_norm.moments(x, (0, 1, 2), mask)
    kept = np.float64(x[mask.ravel()])
    np.testing.assert_allclose(mu.ravel(), kept.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(var.ravel(), kept.var((0, 1, 2)), rtol=1e-5)


def test_population_statistics_are_unbiased():
    """Algorithm 2: the variance is m / (m - 1) times the mean of the biased ones."""
    rng = np.random.default_rng(0)
    batches = rng.normal(3, 2, (5, 8, 4))  # N mini-batches of m = 8, 4 activations
    mean, var = batch_norm.population_statistics(batches.mean(1), batches.var(1), 8)
    np.testing.assert_allclose(mean, batches.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(var, batches.var(1, ddof=1).mean(0), rtol=1e-6)
    counts = np.array([8, 8, 0, 8, 8])[:, None]  # the third is empty
    mean, var = batch_norm.population_statistics(
        batches.mean(1), batches.var(1), counts, biased=True
    )
    kept = batches[[0, 1, 3, 4]]
    np.testing.assert_allclose(mean, kept.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(var, kept.var(1).mean(0), rtol=1e-6)


def test_linear_map_is_the_inference_transform():
    x, gamma, beta, _, _ = example("fully_connected")
    mean, var = np.float32(1.5), np.float32(4.0)
    a, b = batch_norm.linear_map(mean, var, gamma, beta, EPS)
    expected = gamma * (np.float64(x) - mean) / np.sqrt(var + EPS) + beta
    np.testing.assert_allclose(a * x + b, expected, rtol=1e-5, atol=1e-5)
    y = batch_norm.normalize(x, mean, var, gamma, beta, EPS)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decay", [0.9, 0.9997])
def test_bias_corrected_average_weighs_all_steps_as_it_should(decay):
    values = np.random.default_rng(0).normal(5, 1, 40)
    average = jnp.float32(-3.0)  # whatever it starts at
    for t, value in enumerate(values, start=1):
        average = batch_norm.moving_average(average, jnp.float32(value), decay, t)
        weights = decay ** np.arange(t - 1, -1, -1.0)
        expected = (weights * values[:t]).sum() / weights.sum()
        np.testing.assert_allclose(average, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (4,)])
def test_gamma_and_beta_may_lack_the_axes_of_the_mini_batch(shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3, 4)), jnp.float32)

    def loss(gamma, norm):
        return (norm(x, gamma, gamma, EPS, (0, 1)) ** 3).sum()

    first = lambda *of: batch_norm.batch_norm(*of)[0]  # noqa: E731
    ours, plain = (
        jax.grad(loss)(jnp.full(shape, 1.5), norm)
        for norm in (first, batch_norm.algorithm_1)
    )
    assert ours.shape == shape
    np.testing.assert_allclose(ours, plain, rtol=1e-4)


@pytest.mark.parametrize(("decay", "expected"), [(0, 5.0), (1, 3.0)])
def test_the_ends_of_the_decay_keep_the_last_value_or_weigh_all_alike(decay, expected):
    average = jnp.float32(-3.0)
    for t, value in enumerate((1.0, 3.0, 5.0), start=1):
        average = batch_norm.moving_average(average, jnp.float32(value), decay, t)
    np.testing.assert_allclose(average, expected, rtol=1e-6)


def test_average_without_count_follows_flax():
    average = batch_norm.moving_average(jnp.float32(1), jnp.float32(3), 0.9)
    np.testing.assert_allclose(average, 0.9 * 1 + 0.1 * 3, rtol=1e-6)
