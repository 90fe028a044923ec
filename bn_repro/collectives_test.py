"""What a step sends between devices, counted in the compiled program."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import config_files, feeds, parallel, train
from bn_repro.loop_test import SHORT
from bn_repro.resolve import resolve

BYTES = {"f32": 4, "s32": 4, "pred": 1}


def mlp(devices):
    """Returns the MLP's configuration, examples in all and a picture's shape."""
    config = config_files.load("mnist:bn")
    small = {"batch_size": 64, "reference_batch": 64, "bn.batch": "device"}
    config.update_from_flattened_dict(SHORT | small)
    return config, (28, 28)


def inception(devices):
    """Returns the same of a small Inception, with as many examples on each device."""
    config = config_files.load("imagenet:bn_x5")
    batch = 2 * devices
    small = {"batch_size": batch, "reference_batch": batch, "bn.batch": "device"}
    config.update_from_flattened_dict(small | {"model.width": 0.1})
    return config, (64, 64, 3)


def compiled(devices, network=mlp):
    """Returns the state's shapes and a step of a network, compiled for so many."""
    config, image = network(devices)
    config = resolve(config)[0]
    mesh = parallel.make_mesh(jax.devices()[:devices])
    inputs = lambda images, keys: images.astype(jnp.float32)  # noqa: E731
    recipe = train.make_recipe(config, inputs, 1_000)
    shape, size = jax.ShapeDtypeStruct, config.batch_size
    state = jax.eval_shape(partial(train.create_state, config, recipe, image))
    sums = jax.eval_shape(partial(train.zero_sums, config))
    batch = {"image": shape((size, *image), jnp.uint8)}
    batch |= {name: shape((size,), jnp.int32) for name in ("label", "position")}
    key = jax.eval_shape(lambda: jax.random.key(0))
    step = feeds.streamed_step(recipe, mesh).lower(state, sums, key, batch)
    return state, step.compile()


def collectives(text):
    """Returns name -> bytes of what each collective of a program puts out."""
    found = {}
    for result, name in re.findall(
        r"= (.*?) (all-[a-z]+|reduce-scatter)(?:-start)?\(", text
    ):
        size = sum(
            BYTES[kind] * int(np.prod([int(n) for n in dims.split(",") if n]))
            for kind, dims in re.findall(r"(f32|s32|pred)\[([\d,]*)\]", result)
        )
        found[name] = [*found.get(name, []), size]
    return found


def check_one_all_reduce(state, text):
    """Fails unless a program averages gradients, statistics and sums, all at once."""
    found = collectives(text)
    averaged = jax.tree.leaves((state.params, state.batch_stats))
    scalars = 5  # the mean loss, and the sums: loss, correct, correct5, count
    assert set(found) == {"all-reduce"}
    assert sum(found["all-reduce"]) == 4 * (sum(x.size for x in averaged) + scalars)


@pytest.mark.parametrize(
    "devices", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 8]
)
def test_a_step_sends_gradients_statistics_and_sums_once(devices):
    state, program = compiled(devices)
    if devices == 1:
        assert not collectives(program.as_text())
    else:
        check_one_all_reduce(state, program.as_text())


@pytest.mark.slow
def test_inception_sends_as_much_and_a_device_has_the_same_to_do_on_any_number():
    flops = {}
    for devices in (1, 2, 4, 8):
        state, program = compiled(devices, inception)
        analysis = program.cost_analysis()
        analysis = analysis[0] if isinstance(analysis, list) else analysis
        flops[devices] = analysis["flops"]
        if devices > 1:
            check_one_all_reduce(state, program.as_text())
    assert flops[2] == flops[4] == flops[8]
    assert flops[2] == pytest.approx(flops[1], rel=0.03)  # 2.0 % more was seen
