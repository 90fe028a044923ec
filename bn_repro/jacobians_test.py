"""Lanczos' singular values against those of numpy's decomposition."""

from functools import partial

import jax
import numpy as np
import pytest

from bn_repro import jacobians, loop, models, probe
from bn_repro.layers import Mode
from bn_repro.resolve import resolve
from bn_repro.run_folder import records
from configs import mnist, tiny_imagenet

RNG = np.random.default_rng(0)
LAYER = "4b/1x1"  # whose u is [B, 2, 2, ...]


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
    values = np.concatenate([np.linspace(0.6, 1.9, 90), np.linspace(2.5, 9, 210)])
    left, right = [np.linalg.qr(RNG.normal(size=(300, 300)))[0] for _ in range(2)]
    matrix = left * values @ right.T
    found = jacobians._summary(
        *jacobians.spectrum(lambda v: matrix @ v, lambda w: matrix.T @ w, (300,))
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
    init = jax.jit(model.init, static_argnums=2)
    variables = init(jax.random.key(1), images, Mode(True))
    variables = jax.tree.map(lambda x: 3 * x, variables)
    inputs_of, products = jacobians.operators(config, ["hidden_1", "hidden_2"])
    u = inputs_of(variables, images)["hidden_2"]  # [3, 9]

    def found(operator, at):
        forward, back = (lambda v, f=f: f(variables, at, v) for f in products[operator])
        return np.sort(jacobians.spectrum(forward, back, at.shape)[0])

    def layer(index, z):
        """Returns z = g(x) and its Jacobian in the z before, [3, out, in]."""
        p = jax.device_get(variables["params"][f"hidden_{index}"])
        x, scale = z @ np.float64(p["kernel"]), np.ones(p["kernel"].shape[1])
        if name == "bn":
            scale = p["bn"]["scale"] / np.sqrt(x.var(0) + 1e-5)
            x = scale * (x - x.mean(0)) + p["bn"]["bias"]
        else:
            x = x + p["bias"]
        z = 1 / (1 + np.exp(-x))
        return z, (scale * z * (1 - z))[:, :, None] * p["kernel"].T

    z, first = layer(1, np.float64(images).reshape(3, -1))
    np.testing.assert_allclose(z, u, rtol=1e-4)
    _, second = layer(2, z)
    singular = lambda x: np.sort(np.linalg.svd(x, compute_uv=False).ravel())  # noqa: E731
    values = np.repeat(singular(second), jacobians.STARTS)
    np.testing.assert_allclose(found("hidden_2", u), values, rtol=2e-3)
    classifier = np.float64(variables["params"]["classifier"]["kernel"]).T
    largest = singular(classifier @ second @ first)[-1]
    np.testing.assert_allclose(found("", images)[-1], largest, rtol=2e-3)


@pytest.mark.slow
def test_of_a_mini_batch_of_few_all_are_taken(tmp_path):
    """Fewer than EXAMPLES ended in an error of shapes."""
    config = mnist.get_config("bn")
    tiny = {"model.hidden": (9, 7), "steps": 1, "data.limit": 60, "eval.train": False}
    tiny |= {"probe.measures": ("jacobian",), "probe.examples": 8}
    config.update_from_flattened_dict(tiny | {"probe.batch_size": 4})
    loop.run(config, tmp_path, jax.devices()[:1])
    found = records.read_run(tmp_path).activations
    assert np.isfinite(found["jacobian_median"]).all()


def test_some_layers_are_evenly_spaced_from_the_first_to_the_last():
    names = [f"layer{i}" for i in range(69)]
    assert jacobians.spaced(names, 3) == ["layer0", "layer34", "layer68"]
    assert jacobians.spaced(names, 0) == jacobians.spaced(names, 69) == names


def tiny_inception(name, **overrides):
    """Returns configuration, images [4, 32, 32, 3] and variables."""
    config = tiny_imagenet.get_config(name)
    tiny = {"model.width": 0.03125, "data.image_size": 32, "probe.examples": 4}
    config.update_from_flattened_dict(tiny | {"probe.batch_size": 2} | overrides)
    config = resolve(config)[0]
    images = RNG.normal(size=(4, 32, 32, 3)).astype(np.float32)
    init = jax.jit(models.build(config).init, static_argnums=2)
    return config, images, init(jax.random.key(1), images, Mode(True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception", "bn_baseline"])
def test_of_a_3x3_convolution_they_are_those_of_its_matrix(name):
    """z = g(BN(W * u)) at 2x2 places: [examples, 4 out, 4 in], its zeros from g'."""
    config, images, variables = tiny_inception(name)
    layer = "4b/3x3"
    inputs_of, products = jacobians.operators(config, [layer])
    u = inputs_of(variables, images[:2])[layer]
    forward, back = (lambda v, f=f: f(variables, u, v) for f in products[layer])
    found, shares = jacobians.spectrum(forward, back, u.shape)
    matrices = matrices_of_3x3(config, layer, variables, np.float64(u))
    values = np.linalg.svd(matrices, compute_uv=False).ravel()
    assert found.max() > 0.1 and np.prod(u.shape[1:]) >= 8
    near = np.abs(values - found[:, None]).min(1)
    np.testing.assert_allclose(near[shares > 1e-6], 0, atol=2e-3 * values.max())
    for value in values[values > 1e-3 * values.max()]:
        assert np.abs(found - value).min() < 2e-3 * values.max()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_products_are_adjoint_whatever_the_network_computes_in(dtype):
    with jax.enable_x64(dtype == "float64"):
        config, images, variables = tiny_inception(
            "bn_baseline", **{"model.dtype": dtype}
        )
        inputs_of, products = jacobians.operators(config, [LAYER])
        u = inputs_of(variables, images[:2])[LAYER]
        forward, back = (partial(f, variables, u) for f in products[LAYER])
        v = RNG.normal(size=u.shape).astype(np.float32)
        z = forward(v)
        w = RNG.normal(size=z.shape).astype(np.float32)
        assert z.dtype == back(w).dtype == np.float32
        one, other = np.vdot(z, w), np.vdot(v, back(w))
        size = np.linalg.norm(z) * np.linalg.norm(w)
        assert abs(one - other) < 0.01 * size and size > 1


def matrices_of_3x3(config, name, variables, u):
    """Returns the Jacobians of g(BN(W * u)), [examples, h w out, h w in], float64."""
    layer = jax.device_get(variables["params"])
    for part in name.split("/"):
        layer = layer[part]
    weights = np.float64(layer["kernel"])  # [3, 3, in, out]
    _, height, width, _ = u.shape
    rows = []
    for i, j in np.ndindex(height, width):  # of an output; SAME: zeros beyond the edges
        row = np.zeros((height, width, *weights.shape[2:]))
        for k, m in np.ndindex(height, width):  # of an input
            if max(abs(k - i), abs(m - j)) < 2:
                row[k, m] = weights[k - i + 1, m - j + 1]
        rows.append(row.reshape(-1, weights.shape[3]).T)
    matrix = np.concatenate(rows)  # [h w out, h w in]
    x = (u.reshape(len(u), -1) @ matrix.T).reshape(-1, weights.shape[3])
    scale = np.ones(weights.shape[3])
    if "bn" in layer:
        scale = layer["bn"]["scale"] / np.sqrt(x.var(0) + config.bn.epsilon)
        x = scale * (x - x.mean(0)) + layer["bn"]["bias"]
    else:
        x = x + layer["bias"]
    return ((x > 0) * scale).reshape(len(u), -1, 1) * matrix


@pytest.mark.slow
@pytest.mark.parametrize("name, count", [("inception", 69), ("bn_baseline", 8)])
def test_a_probe_finds_those_of_convolutions(name, count):
    measures = {"probe.measures": ("jacobian",), "probe.jacobian_layers": count % 69}
    config, images, variables = tiny_inception(name, **measures)
    labels = np.arange(4, dtype=np.int32)
    found = probe.Probe(config, lambda x, _: x, images, labels)(variables)
    layers = len(found["layer_arrays"])
    assert found["jacobian_median"].shape == (layers,) and layers == 69
    assert np.isfinite(found["jacobian_median"]).sum() == count
    expected = largest_of_1x1(config, variables, images[:2])
    index = list(found["layer_arrays"]).index(LAYER)
    np.testing.assert_allclose(found["jacobian_largest"][index], expected, rtol=0.05)
    assert np.isfinite(found["through_largest"]).tolist() == [False] * 68 + [True]


def largest_of_1x1(config, variables, images):
    """Returns the largest singular value of LAYER: at each location it is dense."""
    u = jacobians.operators(config, [LAYER])[0](variables, images)[LAYER]
    layer = jax.device_get(variables["params"])
    for part in LAYER.split("/"):
        layer = layer[part]
    weights = np.float64(layer["kernel"])[0, 0]  # [in, out]
    x = np.float64(u) @ weights
    scale = np.ones(weights.shape[1])
    if "bn" in layer:
        scale = layer["bn"]["scale"] / np.sqrt(x.var((0, 1, 2)) + 1e-5)
        x = scale * (x - x.mean((0, 1, 2))) + layer["bn"]["bias"]
    else:
        x = x + layer["bias"]
    slopes = (x > 0).reshape(-1, weights.shape[1])
    return max(np.linalg.norm((s * scale)[:, None] * weights.T, 2) for s in slopes)
