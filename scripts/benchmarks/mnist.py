"""Training steps of Sec. 4.1 a second: ours, a loop of single jitted steps, PyTorch."""

import importlib.util

import jax
import numpy as np

from benchmarks.timing import Row, alternate
from bn_repro import data, experiment, metrics, parallel, train
from bn_repro.data.order import Order
from bn_repro.resolve import resolve
from bn_repro.run_folder.manifest import available_cores
from configs import mnist

STEPS = 500


def measure():
    """Yields the ratios of steps a second, for both networks."""
    for name in ("plain", "bn"):
        config = resolve(mnist.get_config(name))[0]
        candidates = {"ours": in_chunks(config), "loop": one_by_one(config)}
        if importlib.util.find_spec("torch"):
            candidates["torch"] = pytorch(config)
        seconds = alternate(candidates, 7)
        detail = ", ".join(f"{k} {STEPS / v:,.0f}/s" for k, v in seconds.items())
        wanted = {"loop": ">= 1.4", "torch": ">= 2"}
        for peer, bound in wanted.items():
            if peer in seconds:
                ratio = seconds[peer] / seconds["ours"]
                what = {"loop": "a loop of jitted steps", "torch": "PyTorch eager"}
                yield Row(
                    f"MNIST {name}: steps/s over {what[peer]}", ratio, bound, detail
                )
        if "torch" not in seconds:
            yield Row(f"MNIST {name}: PyTorch is not installed", float("nan"))


def in_chunks(config):
    """Returns what runs STEPS steps as the training loop does."""
    mesh = parallel.make_mesh(jax.devices()[:1])
    parts = experiment.make(config, mesh)
    state = train.create_state(config, parts.recipe, parts.image_shape)
    carry = parallel.replicate((state, train.zero_sums(config)), mesh)

    def run():
        nonlocal carry
        carry = parts.feed.advance(*carry, 0, STEPS)
        jax.block_until_ready(carry)

    return run


def one_by_one(config):
    """Returns what runs STEPS steps, each dispatched by itself; data on the device."""
    mesh = parallel.make_mesh(jax.devices()[:1])
    parts = experiment.make(config, mesh)
    recipe = train.make_recipe(config, parts.recipe.inputs, 60_000, axis_name=None)
    state = train.create_state(config, recipe, parts.image_shape)
    images, labels = jax.device_put(tuple(data.load(config.data).train))
    carry = (state, train.zero_sums(config))

    @jax.jit
    def step(carry, index, key):
        state, sums = carry
        batch = {"image": images[index], "label": labels[index], "position": index}
        state, added = train.train_step(
            state, batch, key, recipe=recipe, axis_name=None
        )
        return state, metrics.add(sums, added)

    index, key = indices(config), jax.random.key(0)

    def run():
        nonlocal carry
        for i in range(STEPS):
            carry = step(carry, index[i], key)
        jax.block_until_ready(carry)

    return run


def pytorch(config):
    """Returns what runs STEPS steps of the same network as PyTorch users write it."""
    import torch
    from torch import nn

    torch.set_num_threads(available_cores())
    sizes = (784, *config.model.hidden)
    layers = []
    for inputs, units in zip(sizes, sizes[1:], strict=False):
        norm = config.model.norm != "none"
        layers += [nn.Linear(inputs, units, bias=not norm)]
        layers += [nn.BatchNorm1d(units)] if norm else []
        layers += [nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    train_split = data.load(config.data).train
    images = torch.from_numpy(train_split.images.reshape(-1, 784)).float()
    labels = torch.from_numpy(train_split.labels).long()
    index = torch.from_numpy(indices(config)).long()
    loss_of = nn.CrossEntropyLoss()

    def run():
        for i in range(STEPS):
            optimizer.zero_grad()
            loss_of(model(images[index[i]]), labels[index[i]]).backward()
            optimizer.step()

    return run


def indices(config) -> np.ndarray:
    """Returns the examples of the first STEPS steps, [STEPS, batch]."""
    positions = np.arange(STEPS * config.batch_size)
    return Order(60_000, 0).examples_at(positions).reshape(STEPS, -1)
