"""The step computes the same whatever the devices, the chunks or the batches' place."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import data, experiment, metrics, models, parallel, train
from bn_repro.data.order import Order
from bn_repro.layers import Mode
from bn_repro.parallel import AXIS
from bn_repro.resolve import resolve
from configs import mnist


def config(name="bn", **overrides):
    values = {
        "steps": 30,
        "steps_per_call": 8,
        "data.limit": 600,
        "model.hidden": (20, 15),
        "optimizer.momentum": 0.9,
        "optimizer.learning_rate": 0.1,
        "optimizer.l2": 1e-3,
    }
    shrunk = mnist.get_config(name)
    shrunk.update_from_flattened_dict(values | overrides)
    return resolve(shrunk)[0]


def advance(config, devices=1, steps=3, state=None, step=0):
    """Returns state and sums after some steps, and the experiment."""
    mesh = parallel.make_mesh(jax.devices()[:devices])
    parts = experiment.make(config, mesh)
    state = state or train.create_state(config, parts.recipe, parts.image_shape)
    state = parallel.replicate(state, mesh)
    sums = parallel.replicate(train.zero_sums(config), mesh)
    return *parts.feed.advance(state, sums, step, steps), parts


def assert_close(a, b, **tolerance):
    a, b = jax.device_get((a, b))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize(
    ("batch_size", "devices", "bn_batch"),
    [
        pytest.param(60, 2, "global", marks=pytest.mark.slow),
        pytest.param(60, 4, "global", marks=pytest.mark.slow),
        pytest.param(64, 8, "global", marks=pytest.mark.slow),
        pytest.param(60, 6, "global", marks=pytest.mark.slow),
        pytest.param(60, 6, "10", marks=pytest.mark.slow),
        (60, 6, "60"),
    ],
)
def test_devices_make_the_same_update(batch_size, devices, bn_batch):
    with jax.enable_x64(True):
        c = config(
            **{
                "model.dtype": "float64",
                "model.dropout": 0.3,
                "batch_size": batch_size,
                "reference_batch": batch_size,
                "bn.batch": bn_batch,
            }
        )
        alone, sums_alone, _ = advance(c, 1)
        spread, sums, _ = advance(c, devices)
        assert_close(spread.variables(), alone.variables(), rtol=1e-9, atol=1e-12)
        assert_close(spread.opt_state, alone.opt_state, rtol=1e-9, atol=1e-12)
        assert_close(sums, sums_alone, rtol=1e-9)


def test_every_device_holds_the_same_state():
    state, _, _ = advance(config(**{"bn.batch": "device"}), 6)
    for leaf in jax.tree.leaves(state):
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(copies) == 6
        for copy in copies[1:]:
            np.testing.assert_array_equal(copy, copies[0])


def test_step_is_pmap_ready():
    """The same step under jax.pmap, in place of the mesh of `parallel`."""
    c, devices = config(), jax.devices()[:4]
    alone, _, parts = advance(c, 1, steps=1)
    state = train.create_state(c, parts.recipe, parts.image_shape)
    step = lambda batch: train.train_step(  # noqa: E731
        state, batch, jax.random.key(c.seed), recipe=parts.recipe
    )
    batch = first_batch(c)
    split = jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), batch)
    new, _ = jax.jit(jax.pmap(step, axis_name=AXIS, devices=devices))(split)
    first = jax.tree.map(lambda x: x[0], new)
    assert_close(first.params, alone.params, rtol=1e-4, atol=1e-6)


def first_batch(c):
    train_split = data.load(c.data).train
    index = Order(c.data.limit, c.data.seed).examples_at(np.arange(c.batch_size))
    return {
        "image": jnp.asarray(train_split.images[index]),
        "label": jnp.asarray(train_split.labels[index]),
        "position": jnp.arange(c.batch_size),
    }


def test_one_step_is_the_step_on_one_device_without_a_mesh():
    c = config()
    spread, sums, parts = advance(c, 1, steps=1)
    recipe = train.make_recipe(c, parts.recipe.inputs, 600, axis_name=None)
    state = train.create_state(c, recipe, parts.image_shape)
    key = jax.random.key(c.seed)
    step = jax.jit(partial(train.train_step, recipe=recipe, axis_name=None))
    new, added = step(state, first_batch(c), key)
    assert_close(new.params, spread.params, rtol=1e-5, atol=1e-7)
    assert int(added["count"]) == int(sums["count"]) == c.batch_size


def test_step_descends_along_the_gradient_of_the_loss():
    """w - rate (g + l2 w) for the first step, with g from plain autodiff."""
    c = config(**{"optimizer.momentum": 0.0})
    after, _, parts = advance(c, 1, steps=1)
    before = train.create_state(c, parts.recipe, parts.image_shape)
    batch = first_batch(c)

    def loss(params):
        variables = before.variables() | {"params": params}
        logits, _ = models.build(c).apply(
            variables, batch["image"].astype(jnp.float32), Mode()
        )
        return metrics.cross_entropy(logits, batch["label"]).mean()

    grads = jax.jit(jax.grad(loss))(before.params)
    w, g = before.params["hidden_2"]["kernel"], grads["hidden_2"]["kernel"]
    expected = w - 0.1 * (g + 1e-3 * w)
    assert_close(after.params["hidden_2"]["kernel"], expected, rtol=1e-4, atol=1e-6)
    gamma, dgamma = (t["hidden_1"]["bn"]["scale"] for t in (before.params, grads))
    assert_close(
        after.params["hidden_1"]["bn"]["scale"], gamma - 0.1 * dgamma, rtol=1e-4
    )


@pytest.mark.parametrize("steps_per_call", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_chunks_of_any_size_do_the_same_steps(steps_per_call):
    whole = run_in_chunks(30)
    chunked = run_in_chunks(steps_per_call)
    jax.tree.map(np.testing.assert_array_equal, chunked, whole)


@cache
def run_in_chunks(steps_per_call):
    """Returns variables and sums after 30 steps."""
    c = config(**{"steps_per_call": steps_per_call, "model.dropout": 0.2})
    state, sums, parts = advance(c, 1, min(steps_per_call, 30))
    for step in range(steps_per_call, 30, steps_per_call):
        n = min(steps_per_call, 30 - step)
        state, sums = parts.feed.advance(state, sums, step, n)
    return jax.device_get((state.variables(), sums))


def test_steps_that_are_not_finite_change_nothing():
    c = config("plain", **{"model.nonlinearity": "relu"})
    before, _, _ = advance(c, 2, steps=3)
    before = jax.device_get(before)
    broken = before.replace(learning_rate=np.float32(np.inf))
    after, sums, _ = advance(c, 2, steps=4, state=broken, step=3)
    assert int(after.first_bad_step) == 3
    assert int(sums["count"]) == int(sums["steps"]) == 0
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.device_get((after.variables(), after.opt_state, after.step)),
        (before.variables(), before.opt_state, before.step),
    )


def test_a_step_after_a_bad_one_changes_nothing_either():
    c = config()
    state, _, parts = advance(c, 1, steps=1)
    state = jax.device_get(state).replace(first_bad_step=np.int32(1))
    after, sums, _ = advance(c, 1, steps=2, state=state, step=1)
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    assert int(after.first_bad_step) == 1
    assert int(sums["count"]) == 0


def test_example_keys_depend_on_run_step_and_place_alone():
    key = jax.random.key(0)
    bits = lambda *a: jax.random.key_data(train.example_keys(*a)).tolist()  # noqa: E731
    positions = jnp.arange(8)
    assert bits(key, 3, positions)[5:] == bits(key, 3, positions[5:])
    assert bits(key, 4, positions) != bits(key, 3, positions)
    assert bits(jax.random.key(1), 3, positions) != bits(key, 3, positions)


def test_run_wide_randomness_differs_between_seeds():
    states = [advance(config(seed=seed), 1, steps=1)[0] for seed in (0, 1)]
    kernels = [np.asarray(s.params["hidden_1"]["kernel"]) for s in states]
    assert (kernels[0] != kernels[1]).mean() > 0.99


def test_a_variance_that_overflows_is_not_finite():
    """BN then puts out beta: loss and gradients are finite, and the run at chance."""
    with np.errstate(over="ignore"):
        state, sums, parts = advance(config(**{"model.init_stddev": 1e20}))
    assert int(state.first_bad_step) == 0 and int(sums["steps"]) == 0
    for stored in jax.tree.leaves(state.batch_stats):
        assert np.all(np.isfinite(stored))
