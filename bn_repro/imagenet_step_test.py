"""BN-Inception's steps: every platform, any number of devices, donated memory."""

from functools import cache, partial

import jax
import jax.export  # not an attribute of jax before it is imported
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import evaluate, feeds, parallel, train
from bn_repro.data import imagenet as imagenet_data
from bn_repro.platforms import for_export
from bn_repro.resolve import resolve
from configs import imagenet

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
QUICK = {"xla_backend_optimization_level": 0}  # these programs run for a moment only


def config(name, **overrides):
    changed = imagenet.get_config(name)
    changed.update_from_flattened_dict(overrides)
    return resolve(changed)[0]


def recipe_of(c):
    return train.make_recipe(c, imagenet_data.image_inputs(c), train_examples=1_281_167)


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def batch_shapes(c):
    size, n = c.data.image_size, c.batch_size
    image = jax.ShapeDtypeStruct((n, size, size, 3), jnp.uint8)
    labels = jax.ShapeDtypeStruct((n,), jnp.int32)
    return {"image": image, "label": labels}


@cache
def steps_of(name, devices):
    """Returns (training step, its arguments' shapes), and the evaluation step's."""
    c = config(name)
    recipe, mesh = recipe_of(c), parallel.make_mesh(jax.devices()[:devices])
    image_shape = (c.data.image_size,) * 2 + (3,)
    state = jax.eval_shape(partial(train.create_state, c, recipe, image_shape))
    sums = jax.eval_shape(partial(train.zero_sums, c))
    batch = batch_shapes(c)
    key = jax.eval_shape(lambda: jax.random.key(0))
    training = (state, sums, key, batch | {"position": batch["label"]})
    mask = jax.ShapeDtypeStruct((c.batch_size,), bool)
    masked = batch | {"mask": mask, "index": batch["label"]}
    evaluation = (state.variables(), masked)
    return (
        (feeds.streamed_step(recipe, mesh), training),
        (evaluate.streamed_step(recipe, mesh, "ema"), evaluation),
    )


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("name", imagenet.RUNS)
def test_steps_lower_for_every_platform(name, devices):
    for step, arguments in steps_of(name, devices):
        with for_export(True):
            exported = jax.export.export(step, platforms=PLATFORMS)(*arguments)
        assert exported.platforms == PLATFORMS
        assert exported.nr_devices == devices


# Of 32 pixels the last maps are 1x1: a group of four examples then has four values, and
# rounding grows 500 times a step, to 5e-8 in three. Of 64 it grows to 6e-12.
SIZE = 64


def small(**overrides):
    """Returns bn_x30 at reduced size, with dropout."""
    sizes = {"model.width": 0.125, "data.image_size": SIZE, "data.classes": 10}
    return config("bn_x30", **sizes | {"model.dropout": 0.2} | overrides)


@cache
def initial_state(dtype):
    c = small(**{"model.dtype": dtype})
    return jax.device_get(train.create_state(c, recipe_of(c), (SIZE, SIZE, 3)))


def batches(steps, batch_size=32):
    random = np.random.default_rng(0)
    for step in range(steps):
        yield {
            "image": random.integers(0, 256, (batch_size, SIZE, SIZE, 3), np.uint8),
            "label": random.integers(0, 10, batch_size, np.int32),
            "position": step * batch_size + np.arange(batch_size, dtype=np.int32),
        }


def compile_step(c, devices):
    """Returns the compiled training step, the first step's arguments and the mesh."""
    mesh = parallel.make_mesh(jax.devices()[:devices])
    state = parallel.replicate(initial_state(c.model.dtype), mesh)
    sums = parallel.replicate(train.zero_sums(c), mesh)
    key = parallel.replicated_key(c.seed, mesh)
    batch = parallel.shard(next(batches(1)), mesh)
    step = feeds.streamed_step(recipe_of(c), mesh)
    compiled = step.lower(state, sums, key, batch).compile(compiler_options=QUICK)
    return compiled, (state, sums, key), mesh


def advance(c, devices, steps):
    """Returns the state after some steps and the sum of the losses after each."""
    step, (state, sums, key), mesh = compile_step(c, devices)
    losses = []
    for batch in batches(steps):
        state, sums = step(state, sums, key, parallel.shard(batch, mesh))
        losses.append(float(sums["loss"]))
    return jax.device_get(state), losses


@cache
def three_steps(bn_batch, devices):
    c = small(**{"model.dtype": "float64", "bn.batch": bn_batch})
    return advance(c, devices, 3)


@pytest.mark.slow  # XLA compiles each of these programs for half a minute
@pytest.mark.parametrize(
    ("bn_batch", "devices"),
    [
        ("global", 8),
        ("4", 2),
        ("4", 4),
        ("4", 8),
    ],
)
def test_devices_make_the_same_three_steps_in_float64(bn_batch, devices):
    with jax.enable_x64(True):
        alone, losses_alone = three_steps(bn_batch, 1)
        spread, losses = three_steps(bn_batch, devices)
    assert int(alone.step) == 3
    assert losses == pytest.approx(losses_alone, rel=1e-9)
    before = initial_state("float64").params
    for ours, theirs, first in zip(
        *(jax.tree.leaves(params) for params in (spread.params, alone.params, before)),
        strict=True,
    ):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
        assert np.abs(theirs - first).max() > 1e-6  # it was trained
    for ours, theirs in zip(
        *(jax.tree.leaves(state.batch_stats) for state in (spread, alone)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_first_loss_in_float32_and_donated_memory():
    losses = []
    for devices in (1, 8):
        step, (state, sums, key), mesh = compile_step(small(), devices)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves((state, sums)))
        assert step.memory_analysis().alias_size_in_bytes == size  # all of it
        _, sums = step(state, sums, key, parallel.shard(next(batches(1)), mesh))
        losses.append(float(sums["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
