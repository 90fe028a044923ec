"""Seconds a training step of Sec. 4.2's network at 224 pixels: ours and PyTorch's."""

import importlib.util
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.timing import Row, alternate
from bn_repro import train
from bn_repro.resolve import resolve
from bn_repro.run_folder.manifest import available_cores
from configs import imagenet

BATCH, SIZE, ROUNDS = 8, 224, 9


def measure():
    """Yields the ratio of PyTorch's step time to ours, at full width on one CPU."""
    candidates = {"ours": our_step()}
    if not importlib.util.find_spec("torch"):
        yield Row("Inception: PyTorch is not installed", float("nan"))
    else:
        candidates["torch"] = torch_step()
    seconds = alternate(candidates, ROUNDS)
    detail = ", ".join(f"{k} {1e3 * v:,.0f} ms" for k, v in seconds.items())
    detail += f", batch {BATCH} at {SIZE}"
    if "torch" in seconds:
        ratio = seconds["torch"] / seconds["ours"]
        yield Row("Inception: steps/s over PyTorch's", ratio, ">= 0.6", detail)


def our_step(name: str = "bn_x30"):
    """Returns what takes one training step of a network of Sec. 4.2.2."""
    config = imagenet.get_config(name)
    config.batch_size = config.reference_batch = BATCH
    config.bn.batch = "device"
    config = resolve(config)[0]
    inputs = lambda images, keys: images  # noqa: E731
    recipe = train.make_recipe(config, inputs, 1_281_167, axis_name=None)
    state = train.create_state(config, recipe, (SIZE, SIZE, 3))
    keys = jax.random.split(jax.random.key(0), 3)
    batch = {
        "image": jax.random.normal(keys[0], (BATCH, SIZE, SIZE, 3)),
        "label": jax.random.randint(keys[1], (BATCH,), 0, config.data.classes),
        "position": jnp.arange(BATCH),
    }
    step = partial(train.train_step, recipe=recipe, axis_name=None)
    step = jax.jit(step, donate_argnums=0)

    def run():
        nonlocal state
        state, sums = step(state, batch, keys[2])
        jax.block_until_ready(sums)

    return run


def torch_step():
    """Returns what takes one training step of the same network, channels last."""
    import torch
    from peers import inception_torch

    torch.set_num_threads(available_cores())
    return inception_torch.training_step(BATCH, SIZE)
