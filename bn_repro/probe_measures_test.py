"""The costly measures against scipy, numpy's differences and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bn_repro import jacobians, models, probe, probe_measures
from bn_repro.layers import Mode
from bn_repro.resolve import resolve
from configs import mnist

RNG = np.random.default_rng(0)
IMAGES = (RNG.random((120, 28, 28)) < 0.2).astype(np.uint8)
LABELS = RNG.integers(0, 10, 120).astype(np.int32)


def measured(name, *measures, **overrides):
    """Returns the network's config, params and what its probe found."""
    config = mnist.get_config(name)
    values = {"model.hidden": (12, 9), "probe.examples": 120, "model.init_stddev": 0.4}
    config.update_from_flattened_dict(values | overrides | {"probe.measures": measures})
    config = resolve(config)[0]
    inputs = lambda images, keys: jnp.asarray(images, jnp.float32)  # noqa: E731
    variables = jax.jit(models.build(config).init, static_argnums=2)(
        jax.random.key(1), inputs(IMAGES[:2], None), Mode(use_running_average=True)
    )
    variables = jax.tree.map(lambda x: x * 1.5, variables)
    found = probe.Probe(config, inputs, IMAGES, LABELS)(variables, 0.5)
    return jax.tree.map(np.float64, variables["params"]), found


def test_kurtosis_and_distance_are_scipys():
    x = np.stack([RNG.normal(size=500), RNG.exponential(size=500)], axis=1)
    kurtosis, distance = probe_measures.from_gaussian(jnp.asarray(x))
    np.testing.assert_allclose(kurtosis, stats.kurtosis(x, axis=0), rtol=1e-4)
    expected = [stats.kstest((u - u.mean()) / u.std(), "norm").statistic for u in x.T]
    np.testing.assert_allclose(distance, expected, rtol=1e-4)


def test_the_shape_is_of_inputs_and_outputs():
    x = RNG.normal(size=(200, 3))
    found = probe_measures.shape(jax.nn.sigmoid, jnp.asarray(x))
    for side, values in (("input", x), ("output", 1 / (1 + np.exp(-x)))):
        expected = np.median(stats.kurtosis(values, axis=0))
        np.testing.assert_allclose(found[f"{side}_kurtosis"], expected, rtol=1e-3)


def test_noise_is_the_spread_over_rounds_by_that_over_examples():
    values = RNG.normal(size=(4, 50, 3)) * [0.1, 0.2, 0.3] + 5 * np.arange(50)[:, None]
    within = values.var(0, ddof=1).mean(0)
    between = values.mean(0).var(0)
    expected = np.median(np.sqrt(within / between))
    np.testing.assert_allclose(probe_measures.relative_noise(values), expected)


def test_only_batch_norm_lets_other_examples_in():
    _, plain = measured("plain", "noise")
    few, many = (measured("bn", "noise", **{"probe.batch_size": n})[1] for n in (4, 60))
    for field, count in (("batch_noise", 2), ("logit_noise", 1)):
        np.testing.assert_allclose(plain[field], [0] * count, atol=1e-5)
        assert (few[field] > 2 * many[field]).all() and (many[field] > 0.01).all()


@pytest.mark.parametrize("name", ["plain", "bn"])
def test_jacobians_are_those_of_differences(name):
    params, found = measured(name, "jacobian")
    batch = np.float64(IMAGES[:60]).reshape(60, -1)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731

    def layer(index, z, statistics=None):
        """Returns the input of a sigmoid, and the statistics it was made with."""
        p = params[f"hidden_{index}"]
        x = z @ p["kernel"]
        if name == "plain":
            return x + p["bias"], None
        mu, var = statistics or (x.mean(0), x.var(0))
        x = (x - mu) / np.sqrt(var + 1e-5)
        return p["bn"]["scale"] * x + p["bn"]["bias"], (mu, var)

    x1, s1 = layer(1, batch)
    _, s2 = layer(2, sigmoid(x1))
    of_input = lambda x: layer(2, sigmoid(x), s2)[0]  # noqa: E731
    of_image = lambda u: of_input(layer(1, u, s1)[0])  # noqa: E731
    last, whole = [
        np.stack([differences(f, u) for u in at[: jacobians.EXAMPLES]])
        for f, at in ((of_input, x1), (of_image, batch))
    ]
    values = np.linalg.svd(last, compute_uv=False)
    np.testing.assert_allclose(
        [found["jacobian_median"][1], found["jacobian_largest"][1]],
        [np.median(values), np.median(values.max(1))],
        rtol=1e-3,
    )
    near = np.mean((values >= 0.5) & (values <= 2))
    np.testing.assert_allclose(found["jacobian_near_one"][1], near, atol=0.01)
    through = np.linalg.svd(whole, compute_uv=False)
    np.testing.assert_allclose(
        found["through_largest"][1], np.median(through.max(1)), rtol=1e-3
    )


def differences(f, x, step=1e-5):
    """Returns the Jacobian of f at x [in] by central differences, [out, in]."""
    moved = step * np.eye(len(x))
    return ((f(x + moved) - f(x - moved)) / (2 * step)).T


def test_the_change_of_a_gradient_is_the_closed_form_of_a_linear_network():
    """y = w2 w1 x, loss (y - t)^2 / 2: dw2 = (y - t) w1 x, dw1 = (y - t) w2 x."""
    x, t, w1, w2, rate = 1.5, 2.0, 0.8, -0.6, 0.3
    error = w2 * w1 * x - t
    moved = w1 - rate * error * w2 * x
    old, new = error * w1 * x, (w2 * moved * x - t) * moved * x
    gradient = jax.grad(
        lambda p: 0.5 * (p["b"]["kernel"] * p["a"]["kernel"] * x - t) ** 2
    )
    params = {"a": {"kernel": jnp.float32(w1)}, "b": {"kernel": jnp.float32(w2)}}
    found = probe_measures.change_by_layer(gradient, params, ["a", "b"], rate)
    np.testing.assert_allclose(found[0], [1, 0], atol=1e-6)  # nothing before it moves
    np.testing.assert_allclose(
        found[1], [np.sign(old * new), abs(new - old) / abs(old)], rtol=1e-5
    )


def test_a_probe_changes_gradients_by_the_rate_it_is_told():
    _, found = measured("bn", "gradient_change")
    assert found["gradient_change"][0] == 0 and found["gradient_change"][1] > 1e-3
    assert found["gradient_cosine"].shape == (2,)


def test_what_is_not_switched_on_is_not_measured():
    _, found = measured("bn")
    assert "batch_noise" not in found and "jacobian_median" not in found
