"""What a step sends between devices, counted in the compiled program."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import config_files, experiment, feeds, parallel, train
from bn_repro.loop_test import SHORT
from bn_repro.resolve import resolve

BYTES = {"f32": 4, "s32": 4, "pred": 1}


def compiled(devices):
    """Returns the state's shapes and the text of a step on so many devices."""
    config = config_files.load("mnist:bn")
    small = {"batch_size": 64, "reference_batch": 64, "bn.batch": "device"}
    config.update_from_flattened_dict(SHORT | small)
    config = resolve(config)[0]
    mesh = parallel.make_mesh(jax.devices()[:devices])
    recipe = experiment.make(config, mesh).recipe
    shape = jax.ShapeDtypeStruct
    state = jax.eval_shape(partial(train.create_state, config, recipe, (28, 28)))
    sums = jax.eval_shape(partial(train.zero_sums, config))
    batch = {"image": shape((64, 28, 28), jnp.uint8)}
    batch |= {name: shape((64,), jnp.int32) for name in ("label", "position")}
    key = jax.eval_shape(lambda: jax.random.key(0))
    step = feeds.streamed_step(recipe, mesh).lower(state, sums, key, batch)
    return state, step.compile().as_text()


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


@pytest.mark.parametrize(
    "devices", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 8]
)
def test_a_step_sends_gradients_statistics_and_sums_once(devices):
    state, text = compiled(devices)
    found = collectives(text)
    if devices == 1:
        assert not found
        return
    averaged = jax.tree.leaves((state.params, state.batch_stats))
    scalars = 5  # the mean loss, and the sums: loss, correct, correct5, count
    assert set(found) == {"all-reduce"}
    assert sum(found["all-reduce"]) == 4 * (sum(x.size for x in averaged) + scalars)
