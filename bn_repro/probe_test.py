"""The probe's numbers are numpy's, over a probe set normalised batch by batch."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import metrics, models, probe
from bn_repro.layers import Mode
from bn_repro.resolve import resolve
from configs import mnist


@cache
def setup(name="bn", **overrides):
    config = mnist.get_config(name)
    values = {"model.hidden": (12, 9), "probe.examples": 120, "bn.batch": "2"}
    config.update_from_flattened_dict(values | overrides)
    config = resolve(config)[0]
    rng = np.random.default_rng(0)
    images = (rng.random((150, 28, 28)) < 0.2).astype(np.uint8)
    labels = rng.integers(0, 10, 150).astype(np.int32)
    inputs = lambda images, keys: jnp.asarray(images, jnp.float32)  # noqa: E731
    model = models.build(config)
    variables = jax.jit(model.init, static_argnums=2)(
        jax.random.key(1), inputs(images[:2], None), Mode(use_running_average=True)
    )
    variables = jax.tree.map(lambda x: x * 1.5, variables)
    found = probe.Probe(config, inputs, images, labels)(variables)
    return config, variables, images[:120], labels[:120], found


def paper_inputs(params, images, batch_size):
    """Each layer's input to the sigmoid in float64, mini-batch by mini-batch."""
    layers = {"hidden_1": [], "hidden_2": []}
    for batch in np.split(np.float64(images), len(images) // batch_size):
        z = batch.reshape(batch_size, -1)
        for name, inputs in layers.items():
            p = jax.tree.map(np.float64, params[name])
            x = z @ p["kernel"]
            if "bn" in p:
                x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
                x = x * p["bn"]["scale"] + p["bn"]["bias"]
            else:
                x = x + p["bias"]
            inputs.append(x)
            z = 1 / (1 + np.exp(-x))
    return {name: np.concatenate(inputs) for name, inputs in layers.items()}


@pytest.mark.parametrize("name", ["bn", "plain"])
def test_percentiles_are_over_all_examples_each_batch_by_itself(name):
    config, variables, images, _, found = setup(name)
    inputs = paper_inputs(variables["params"], images, config.probe.batch_size)
    assert list(found["layer_arrays"]) == ["hidden_1", "hidden_2"]
    for layer, x in inputs.items():
        expected = np.percentile(x, [15, 50, 85], axis=0)
        ours = found["layer_arrays"][layer]
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)


def test_saturated_share_is_where_the_slope_is_nearly_gone():
    _, variables, images, _, found = setup("plain", **{"probe.saturated_slope": 0.9})
    for i, x in enumerate(paper_inputs(variables["params"], images, 60).values()):
        s = 1 / (1 + np.exp(-x))
        expected = (4 * s * (1 - s) < 0.9).mean()
        np.testing.assert_allclose(found["saturated"][i], expected, atol=2e-3)


def test_gradient_norms_are_of_each_layers_weights_over_the_probe_set():
    config, variables, images, labels, found = setup()
    config = config.copy_and_resolve_references().unlock()
    config.bn.batch = "device"
    model = models.build(config)

    def loss(params):
        total = 0
        for i in (0, 60):
            logits, _ = model.apply(
                variables | {"params": params}, jnp.float32(images[i : i + 60]), Mode()
            )
            total += metrics.cross_entropy(logits, labels[i : i + 60]).mean() / 2
        return total

    grads = jax.jit(jax.grad(loss))(variables["params"])
    for i, name in enumerate(("hidden_1", "hidden_2")):
        expected = np.linalg.norm(grads[name]["kernel"])
        np.testing.assert_allclose(found["gradient_norm"][i], expected, rtol=1e-4)


def test_histograms_are_of_input_and_output():
    _, variables, images, _, found = setup()
    for i, x in enumerate(paper_inputs(variables["params"], images, 60).values()):
        z = 1 / (1 + np.exp(-x))
        for name, values in (("input", x), ("output", z)):
            shares, ends = found[f"{name}_histogram"][i], found[f"{name}_range"][i]
            clipped = np.clip(values, *ends)
            expected = np.histogram(clipped, 64, tuple(ends))[0] / values.size
            np.testing.assert_allclose(shares, expected, atol=5e-3)
            np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)


def test_feature_maps_are_measured_at_evenly_spaced_locations():
    tap = np.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3)
    values = probe._values_by_unit(jnp.asarray(tap), locations=4)
    flat = tap.reshape(2, 16, 3)[:, [2, 6, 10, 14]]
    np.testing.assert_array_equal(values, flat.reshape(8, 3))
    everything = probe._values_by_unit(jnp.asarray(tap), locations=0)
    assert everything.shape == (32, 3)


def test_fewer_units_are_recorded_on_request():
    _, _, _, _, whole = setup()
    _, _, _, _, found = setup(**{"probe.units": 4})
    np.testing.assert_array_equal(
        found["layer_arrays"]["hidden_1"],
        whole["layer_arrays"]["hidden_1"][:, [1, 4, 7, 10]],
    )


def test_sizes_of_parameters_are_numpys():
    _, variables, _, _, found = setup("bn")
    _, plain, _, _, of_plain = setup("plain", **{"model.nonlinearity": "tanh"})
    assert "scale_rms" not in of_plain
    for i, name in enumerate(("hidden_1", "hidden_2")):
        p = jax.tree.map(np.float64, variables["params"][name])
        np.testing.assert_allclose(
            found["weight_norm"][i], np.linalg.norm(p["kernel"]), rtol=1e-6
        )
        for field, part in (("scale_rms", "scale"), ("shift_rms", "bias")):
            expected = np.sqrt(np.mean(p["bn"][part] ** 2))
            np.testing.assert_allclose(found[field][i], expected, rtol=1e-6)
