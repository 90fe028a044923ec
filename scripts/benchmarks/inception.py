"""Training steps of Sec. 4.2's network a second: ours, PyTorch's and a run's."""

import importlib.util
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks import TINY, mnist, torch_device
from benchmarks.timing import alternate, missing, ratio
from bn_repro import config_files, train
from bn_repro.resolve import resolve
from bn_repro.run_folder.manifest import available_cores


class Case(NamedTuple):
    """A network at one size: its name, batch, pixels, width, rounds and bound."""

    name: str
    batch: int
    size: int
    width: float
    rounds: int
    bound: str = ""


CASES = (
    Case("at 224, full width", 8, 224, 1.0, 9, ">= 0.8"),
    Case("at 64, a quarter of the width", 32, 64, 0.25, 31, ">= 1.1"),
)
TOY = (Case("toy", 2, 32, 0.05, 1),)
STEPS = 20  # of a run and of a loop that are compared


def measure(toy: bool = False):
    """Yields the ratios of PyTorch's and of a whole run's step time to ours."""
    case = (TOY if toy else CASES)[-1]
    if TINY.exists():
        whole, step = in_a_run(case), stepping(*compiled_step(case))
        candidates = {
            "run": whole,
            "step": lambda: [step() for _ in range(STEPS)],
        }
        seconds = alternate(candidates, min(case.rounds, 9)).values()
        milliseconds = [
            f._replace(values=[v / STEPS for v in f.values]).in_ms() for f in seconds
        ]
        what = f"Inception {case.name}: a run's step / the step alone"
        yield ratio(what, *milliseconds, "<= 1.05", "pictures read, decoded, cropped")
    if not importlib.util.find_spec("torch"):
        yield missing("Inception: PyTorch is not installed")
        return
    for case in TOY if toy else CASES:
        ours = stepping(*compiled_step(case))
        candidates = {"ours": ours, "torch": torch_step(case)}
        seconds = alternate(candidates, case.rounds)
        rates = [f.per_second(1, "steps/s") for f in seconds.values()]
        what = f"Inception {case.name}, batch {case.batch}: steps/s over PyTorch's"
        yield ratio(what, *rates, case.bound, f"{available_cores()} cores")


def in_a_run(case):
    """Returns what takes STEPS training steps of BN-x30 as a run does."""
    config = config_files.load("tiny_imagenet:bn_x30_seed0")
    config.update_from_flattened_dict(
        {
            "data.train": str(TINY),
            "data.val": str(TINY),
            "batch_size": case.batch,
            "bn.batch": "device",
            "data.image_size": case.size,
            "data.eval_resize": case.size,
            "model.width": case.width,
        }
    )
    return mnist.in_chunks(resolve(config)[0], STEPS)


def stepping(step, arguments):
    """Returns what takes one more training step, which donates its state."""
    state, *others = arguments

    def run():
        nonlocal state
        state, sums = step(state, *others)
        jax.block_until_ready(sums)

    return run


def compiled_step(case, name: str = "bn_x30", dtype: str = "float32"):
    """Returns the training step on one device, jitted, and its arguments."""
    _, recipe, state, batch = parts(case, name, dtype)
    step = partial(train.train_step, recipe=recipe, axis_name=None)
    return jax.jit(step, donate_argnums=0), (state, batch, jax.random.key(2))


def parts(case, name: str = "bn_x30", dtype: str = "float32", axis_name=None):
    """Returns configuration, recipe, state and a batch of noise of a network."""
    config = config_files.load(f"imagenet:{name}")
    config.batch_size = config.reference_batch = case.batch
    config.bn.batch, config.model.width = "device", case.width
    config.model.dtype = dtype
    config = resolve(config)[0]
    inputs = lambda images, keys: images  # noqa: E731
    recipe = train.make_recipe(config, inputs, 1_281_167, axis_name)
    shape = (case.size, case.size, 3)
    state = train.create_state(config, recipe, shape)
    index = jnp.arange(case.batch)
    pictures = jax.random.normal(jax.random.key(0), (case.batch, *shape))
    batch = {"image": pictures, "label": index % config.data.classes, "position": index}
    return config, recipe, state, batch


def torch_step(case):
    """Returns what takes one training step of the same network, channels last."""
    import torch
    from peers import inception_torch

    torch.set_num_threads(available_cores())
    sizes = case.batch, case.size, case.width
    return inception_torch.training_step(*sizes, torch_device())
