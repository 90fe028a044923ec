"""Lanczos' singular values against those of numpy's decomposition."""

import jax
import numpy as np
import pytest

from bn_repro import jacobians, models, probe
from bn_repro.layers import Mode
from bn_repro.resolve import resolve
from configs import mnist, tiny_imagenet

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (15, 15)])
def test_in_as_many_steps_as_values_the_spectrum_is_exact(shape):
    matrix = RNG.normal(size=shape)
    values, shares = jacobians.spectrum(
        lambda v: matrix @ v, lambda w: matrix.T @ w, shape[1:]
    )
    expected = np.linalg.svd(matrix, compute_uv=False)
    assert len(values) == jacobians.STARTS * min(shape)
    for found in np.split(values, jacobians.STARTS):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shares.sum(), 1)


def test_in_fewer_steps_it_is_the_share_near_one_that_the_weights_give():
    values = np.concatenate([np.linspace(0.6, 1.9, 300), np.linspace(2.5, 9, 700)])
    left, right = [np.linalg.qr(RNG.normal(size=(1000, 1000)))[0] for _ in range(2)]
    matrix = left * values @ right.T
    found = jacobians._summary(
        *jacobians.spectrum(lambda v: matrix @ v, lambda w: matrix.T @ w, (1000,))
    )
    np.testing.assert_allclose(found["jacobian_near_one"], 0.3, atol=0.06)
    np.testing.assert_allclose(found["jacobian_median"], np.median(values), rtol=0.1)
    np.testing.assert_allclose(found["jacobian_largest"], 9, rtol=0.01)


def test_a_jacobian_without_rank_ends_early():
    u, v = RNG.normal(size=(2, 30))
    values, shares = jacobians.spectrum(
        lambda x: u * (v @ x), lambda y: v * (u @ y), (30,)
    )
    size = np.linalg.norm(u) * np.linalg.norm(v)
    np.testing.assert_allclose(values.max(), size, rtol=1e-5)
    assert shares[values > 0.5 * size].sum() < 0.3  # one of 30; the others are 0


@pytest.mark.parametrize("name", ["plain", "bn"])
def test_both_ways_find_the_same_of_an_mlp(name):
    """z = g(BN(W u)): what is written down, [out, in], times the slope of g."""
    config = mnist.get_config(name)
    config.update_from_flattened_dict({"model.hidden": (9, 7)})
    config = resolve(config)[0]
    images = RNG.normal(size=(3, 28, 28)).astype(np.float32)
    model = models.build(config)
    variables = model.init(jax.random.key(1), images, Mode(True))
    variables = jax.tree.map(lambda x: 3 * x, variables)
    inputs_of, products = jacobians.operators(config, ["hidden_1", "hidden_2"])
    u = inputs_of(variables, images)["hidden_2"]  # [3, 9]
    forward, back = (lambda v, f=f: f(variables, u, v) for f in products["hidden_2"])
    found, _ = jacobians.spectrum(forward, back, u.shape)

    layer = jax.device_get(variables["params"]["hidden_2"])
    x = np.float64(u) @ layer["kernel"]
    scale = np.ones(7)
    if name == "bn":
        scale = layer["bn"]["scale"] / np.sqrt(x.var(0) + 1e-5)
        x = scale * (x - x.mean(0)) + layer["bn"]["bias"]
    else:
        x = x + layer["bias"]
    slope = np.exp(-x) / (1 + np.exp(-x)) ** 2
    plain = jacobians.layer_jacobian(layer["kernel"], scale, np.ones((3, 9)))
    expected = np.linalg.svd(slope[:, :, None] * plain, compute_uv=False)
    found = np.sort(np.split(found, jacobians.STARTS)[0])
    np.testing.assert_allclose(found, np.sort(expected.ravel()), rtol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception", "bn_baseline"])
def test_a_probe_finds_those_of_every_convolution(name):
    config = tiny_imagenet.get_config(name)
    config.update_from_flattened_dict(
        {
            "model.width": 0.03125,
            "data.image_size": 32,
            "probe.examples": 4,
            "probe.batch_size": 2,
            "probe.measures": ("jacobian",),
        }
    )
    config = resolve(config)[0]
    images = RNG.normal(size=(4, 32, 32, 3)).astype(np.float32)
    model = models.build(config)
    variables = model.init(jax.random.key(1), images, Mode(True))
    labels = np.arange(4, dtype=np.int32)
    found = probe.Probe(config, lambda x, _: x, images, labels)(variables)
    layers = len(found["layer_arrays"])
    assert found["jacobian_median"].shape == (layers,) and layers == 69
    assert np.median(found["jacobian_largest"]) > 0.5
    assert np.isfinite(found["through_largest"]).tolist() == [False] * 68 + [True]
