"""Holds the flax modules against explicit oracles; flax_parity_test has flax's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import layers, parallel
from bn_repro.conv_layers import ConvNormAct
from bn_repro.errors import UserError
from bn_repro.layers import Mode
from bn_repro.models.mlp import DenseNormAct
from bn_repro.parallel import AXIS, SHARDED

EPS = 1e-5
# As our networks use it: moving averages as in Algorithm 2, from the first step on.
BatchNorm = partial(layers.BatchNorm, bias_correction=True, biased=False)
MUTABLE = ["batch_stats", "ema_count"]


def images(batch=12, seed=0):
    return np.random.default_rng(seed).normal(2, 3, (batch, 4, 4, 6)).astype(np.float32)


def train(module, x, variables=None, **kwargs):
    kwargs = {"use_running_average": False} | kwargs
    variables = variables or module.init(jax.random.key(0), x, True)
    apply = jax.jit(partial(module.apply, mutable=MUTABLE, **kwargs))
    y, updated = apply(variables, x)
    return y, variables | updated


def normalized(x, axes):
    x = np.float64(x)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + EPS)


@pytest.mark.parametrize("batch", ["device", "global", 12])
def test_one_device_normalizes_over_batch_and_locations(batch):
    x = images()
    y, variables = train(BatchNorm(batch=batch), x)
    np.testing.assert_allclose(y, normalized(x, (0, 1, 2)), rtol=2e-4, atol=1e-5)
    stats = variables["batch_stats"]
    np.testing.assert_allclose(stats["mean"], x.mean((0, 1, 2)), rtol=1e-5)
    unbiased = np.float64(x).var((0, 1, 2), ddof=1)  # m = 12 * 4 * 4
    np.testing.assert_allclose(stats["var"], unbiased, rtol=1e-5)


def test_per_activation_normalizes_each_location_over_the_batch():
    x = images()
    y, variables = train(BatchNorm(per_activation=True), x)
    np.testing.assert_allclose(y, normalized(x, (0,)), rtol=2e-4, atol=1e-5)
    assert variables["params"]["scale"].shape == (4, 4, 6)
    unbiased = np.float64(x).var(0, ddof=1)
    np.testing.assert_allclose(variables["batch_stats"]["var"], unbiased, rtol=1e-5)


def test_groups_normalize_alone_and_store_their_mean():
    x = images()
    y, variables = train(BatchNorm(batch=4), x)
    parts = np.split(np.float64(x), 3)
    expected = np.concatenate([normalized(part, (0, 1, 2)) for part in parts])
    np.testing.assert_allclose(y, expected, rtol=2e-4, atol=1e-5)
    var = np.mean([part.var((0, 1, 2), ddof=1) for part in parts], 0)
    np.testing.assert_allclose(variables["batch_stats"]["var"], var, rtol=1e-5)


@pytest.mark.parametrize("mean_over_std", [1, 1000])
def test_global_scope_is_the_moments_of_the_union_of_devices(mean_over_std):
    x = images(16) + 3 * mean_over_std
    mesh = parallel.make_mesh(jax.devices()[:8])
    module = BatchNorm(axis_name=AXIS)
    variables = BatchNorm().init(jax.random.key(0), x, True)

    def apply(variables, x):
        return module.apply(variables, x, False, mutable=MUTABLE)

    specs = (SHARDED, parallel.REPLICATED)
    run = parallel.spmd(apply, mesh, (parallel.REPLICATED, SHARDED), specs)
    y, updated = jax.jit(run)(variables, parallel.shard(x, mesh))
    unbiased = np.float64(x).var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(updated["batch_stats"]["var"], unbiased, rtol=1e-5)
    np.testing.assert_allclose(y, normalized(x, (0, 1, 2)), atol=1e-6 * mean_over_std)


@pytest.mark.parametrize("bias_correction", [True, False])
@pytest.mark.parametrize("updates", [0, 2])
def test_a_batch_without_any_example_moves_nothing(bias_correction, updates):
    module = layers.BatchNorm(False, momentum=0.9, bias_correction=bias_correction)
    x = jax.random.normal(jax.random.key(0), (8, 3))
    variables = module.init(jax.random.key(1), x)
    for _ in range(updates):
        variables |= module.apply(variables, x, mutable=MUTABLE)[1]
    mask = np.zeros((8, 1), bool)
    _, updated = module.apply(variables, x, mask=mask, mutable=MUTABLE)
    for name, leaf in updated.items():
        jax.tree.map(np.testing.assert_array_equal, leaf, variables[name])


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("batch", ["global", 2])
def test_padding_touches_no_statistic(devices, batch):
    """With a mask, everything is as if the padded examples were not there."""
    x = images(8)
    mask = np.array([True, True, False, True, True, True, False, False])
    mesh = parallel.make_mesh(jax.devices()[:devices])
    module = BatchNorm(batch=batch, axis_name=AXIS)
    variables = BatchNorm().init(jax.random.key(0), x, True)

    def apply(x, mask):
        examples = mask[:, None, None, None]
        y, updated = module.apply(variables, x, False, mask=examples, mutable=MUTABLE)
        return y, jax.lax.pmean(updated["batch_stats"], AXIS)

    specs = (SHARDED, parallel.REPLICATED)
    run = jax.jit(parallel.spmd(apply, mesh, (SHARDED, SHARDED), specs))
    y, stats = run(x, mask)
    y_other, stats_other = run(np.where(mask[:, None, None, None], x, 1e6), mask)
    np.testing.assert_array_equal(np.asarray(y)[mask], np.asarray(y_other)[mask])
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(stats_other), strict=True):
        np.testing.assert_array_equal(a, b)
    if batch == "global":
        expected = normalized(x[mask], (0, 1, 2))
        np.testing.assert_allclose(np.asarray(y)[mask], expected, rtol=2e-4, atol=1e-5)
        unbiased = np.float64(x[mask]).var((0, 1, 2), ddof=1)
        np.testing.assert_allclose(stats["var"], unbiased, rtol=1e-5)


def test_normalizing_and_updating_are_separate_switches():
    x = images()
    module = BatchNorm()
    variables = module.init(jax.random.key(0), x, True)
    y, after = train(
        module, x, variables, use_running_average=False, update_stats=False
    )
    jax.tree.map(np.testing.assert_array_equal, after, variables)
    np.testing.assert_allclose(y, normalized(x, (0, 1, 2)), rtol=2e-4, atol=1e-5)
    y, after = train(module, x, variables, use_running_average=True, update_stats=True)
    np.testing.assert_allclose(y, x / np.sqrt(1 + EPS), rtol=1e-5)
    np.testing.assert_allclose(after["batch_stats"]["mean"], x.mean((0, 1, 2)), 1e-5)


def test_first_update_replaces_the_initial_statistics():
    first, second = images(seed=1), images(seed=2) + 4
    module = BatchNorm(momentum=0.9)
    _, variables = train(module, first)
    _, variables = train(module, second, variables)
    means = [np.float64(x).mean((0, 1, 2)) for x in (first, second)]
    expected = (0.9 * means[0] + means[1]) / 1.9
    np.testing.assert_allclose(variables["batch_stats"]["mean"], expected, rtol=1e-5)


def test_groups_that_do_not_fit_are_refused_with_the_divisors():
    with pytest.raises(UserError, match=r"bn.batch=5 .* 12 .*\[1, 2, 3, 4, 6, 12\]"):
        train(BatchNorm(batch=5), images())


@pytest.mark.parametrize(
    ("batch", "devices", "expected"),
    [
        ("device", 2, (1, False)),
        ("global", 2, (1, True)),
        ("4", 2, (3, False)),
        (12, 2, (1, False)),
        ("24", 2, (1, True)),
        ("24", 1, None),
        ("5", 2, None),
        ("8", 2, None),
    ],
)
def test_groups_divide_a_devices_examples_or_are_all_of_them(batch, devices, expected):
    assert layers.groups(batch, 12, devices) == expected


@pytest.mark.parametrize(
    "field", [{"batch": 0}, {"batch": "glob"}, {"batch": -2}, {"gradient": "stpo"}]
)
def test_fields_that_cannot_be_are_refused(field):
    ((name, value),) = field.items()
    with pytest.raises(UserError, match=f"{name} is {value!r}"):
        train(BatchNorm(**field), images())


@pytest.mark.parametrize("nonlinearity", layers.NONLINEARITIES)
@pytest.mark.parametrize("placement", ["before", "after", None])
@pytest.mark.parametrize("make", [DenseNormAct, ConvNormAct])
def test_a_layer_places_the_norm(make, placement, nonlinearity):
    u = images() if make is ConvNormAct else images().reshape(12, -1)
    axes, norm = tuple(range(u.ndim - 1)), BatchNorm if placement else None
    layer = make(5, nonlinearity, norm=norm, placement=placement or "before")
    params = layer.init(jax.random.key(0), u, Mode())["params"]
    assert set(params) == {
        *("kernel", *["bias"] * (placement != "before"), *["bn"] * bool(placement))
    }
    if "bias" in params:
        params["bias"] = jnp.arange(5.0)
    variables = layer.init(jax.random.key(0), u, Mode()) | {"params": params}
    z, tap = layer.apply(variables, u, Mode())
    x = np.float64(u) @ np.float64(params["kernel"]).reshape(-1, 5)
    x = x + np.float64(params.get("bias", 0))
    g = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
    }[nonlinearity]
    x = normalized(x, axes) if placement == "before" else x
    expected = normalized(g(x), axes) if placement == "after" else g(x)
    np.testing.assert_allclose(tap, x, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("nonlinearity", layers.NONLINEARITIES)
def test_relative_slope_is_the_derivative_over_its_largest(nonlinearity):
    x = jnp.array([-3.0, -0.5, 0.7, 4.0])
    slope = jax.vmap(jax.grad(layers.NONLINEARITIES[nonlinearity]))(x)
    largest = {"sigmoid": 0.25, "tanh": 1.0, "relu": 1.0}[nonlinearity]
    ours = layers.RELATIVE_SLOPES[nonlinearity](x)
    np.testing.assert_allclose(ours, slope / largest, rtol=1e-5, atol=1e-7)


def test_dropout_belongs_to_the_example():
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(64))
    x = jnp.ones((64, 500))
    y = layers.dropout(x, 0.4, keys, 1)
    assert set(np.unique(np.asarray(y)).round(5)) == {0.0, np.float32(1 / 0.6).round(5)}
    assert abs(float((y == 0).mean()) - 0.4) < 0.01
    assert (y[0] != y[1]).any()  # another example, another mask
    np.testing.assert_array_equal(layers.dropout(x[5:9], 0.4, keys[5:9], 1), y[5:9])
    assert (layers.dropout(x, 0.4, keys, 2) != y).any()  # another layer
    np.testing.assert_array_equal(layers.dropout(x, 0.4, None, 1), x)


@pytest.mark.parametrize("shape", [(1, 6), (1, 1, 1, 6)])
def test_the_variance_of_one_value_is_refused(shape):
    x = np.ones(shape, np.float32)
    with pytest.raises(UserError, match="a single value"):
        train(BatchNorm(), x)
    train(BatchNorm(), np.ones((1, 2, 1, 6), np.float32))  # two locations
    train(layers.BatchNorm(), x)  # flax's rule asks for no more than beta
