"""Training steps of Sec. 4.1 a second: ours, a loop of single jitted steps, PyTorch."""

import functools
import importlib.util
import shutil

import jax
import numpy as np

from benchmarks import torch_device
from benchmarks.timing import alternate, missing, ratio
from bn_repro import config_files, data, experiment, metrics, parallel, train
from bn_repro.data.order import Order
from bn_repro.resolve import resolve
from bn_repro.run_folder.manifest import available_cores

STEPS = 500
PEERS = {
    "loop": ("a loop of jitted steps", ">= 1.4"),
    "torch": ("PyTorch eager", ">= 2"),
    "compiled": ("PyTorch compiled", ">= 1.3"),
}


def measure(toy: bool = False):
    """Yields the ratios of steps a second, for both networks."""
    steps, rounds = (2, 1) if toy else (STEPS, 7)
    for name in ("plain", "bn"):
        config = resolve(config_files.load(f"mnist:{name}"))[0]
        run_of = {"ours": in_chunks, "loop": one_by_one}
        if importlib.util.find_spec("torch"):
            run_of["torch"] = pytorch
            if shutil.which("g++"):
                run_of["compiled"] = functools.partial(pytorch, compiled=True)
        candidates = {who: make(config, steps) for who, make in run_of.items()}
        seconds = alternate(candidates, rounds)
        rates = {k: v.per_second(steps, "steps/s") for k, v in seconds.items()}
        for peer, (what, bound) in PEERS.items():
            what = f"MNIST {name}: steps/s over {what}"
            if peer in rates:
                yield ratio(what, rates["ours"], rates[peer], bound)
            else:
                yield missing(f"{what}: it is not installed")


def in_chunks(config, steps: int):
    """Returns what runs the steps as the training loop does."""
    mesh = parallel.make_mesh(jax.devices()[:1])
    parts = experiment.make(config, mesh)
    state = train.create_state(config, parts.recipe, parts.image_shape)
    carry, done = parallel.replicate((state, train.zero_sums(config)), mesh), 0

    def run():
        nonlocal carry, done
        carry = parts.feed.advance(*carry, done, steps)
        done += steps
        jax.block_until_ready(carry)

    return run


def one_by_one(config, steps: int):
    """Returns what runs the steps, each dispatched by itself; data on the device."""
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

    index, key = indices(config, steps), jax.random.key(0)

    def run():
        nonlocal carry
        for i in range(steps):
            carry = step(carry, index[i], key)
        jax.block_until_ready(carry)

    return run


def pytorch(config, steps: int, compiled: bool = False):
    """Returns what runs the steps of the same network as PyTorch users write it."""
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
    device = torch_device()
    model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model = torch.compile(model) if compiled else model
    train_split = data.load(config.data).train
    images = torch.from_numpy(train_split.images.reshape(-1, 784)).float().to(device)
    labels = torch.from_numpy(train_split.labels).long().to(device)
    index = torch.from_numpy(indices(config, steps)).long().to(device)
    loss_of = nn.CrossEntropyLoss()

    def run():
        for i in range(steps):
            optimizer.zero_grad()
            loss = loss_of(model(images[index[i]]), labels[index[i]])
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the steps

    return run


def indices(config, steps: int) -> np.ndarray:
    """Returns the examples of the first steps, [steps, batch]."""
    positions = np.arange(steps * config.batch_size)
    return Order(60_000, 0).examples_at(positions).reshape(steps, -1)
