"""How examples reach the training step: from memory, or streamed batch by batch.

A feed's `advance` does n steps from a given one. Which examples they see is a function
of the seed and the step alone, so a run that resumes goes on in the same sequence.
Runs that differ only in their seeds share a feed's data and programs: `for_run`.
"""

import copy
from functools import partial

import jax
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P

from bn_repro import metrics, parallel, train
from bn_repro.data.order import Order
from bn_repro.parallel import AXIS, REPLICATED, SHARDED


class Feed:
    """What does training steps of a run; `_take_seeds` takes what runs vary."""

    def for_run(self, config):
        """Returns the feed of a run that differs only in its seeds."""
        feed = copy.copy(self)
        feed._take_seeds(config)
        return feed


class InMemoryFeed(Feed):
    """The data set lives on the devices; many steps run in one dispatch."""

    def __init__(self, config, recipe, mesh, arrays, pick=None, spec=REPLICATED):
        """Puts the training arrays, (images [N, ...], labels [N]), on the devices.

        `pick` takes them and a step's row of `indices` and returns its images and
        labels; `spec` is their PartitionSpec: each whole on every device, or a part.
        """
        parallel.check_batch(config.batch_size, mesh)
        self.mesh = mesh
        self.block = min(config.steps_per_call, config.steps)
        self.arrays = tuple(parallel.split(x, mesh, spec) for x in arrays)
        pick = pick or _pick
        views = parallel.spmd(pick, mesh, (spec, SHARDED), (SHARDED, SHARDED))
        self._views = jax.jit(views)
        self.chunk = partial(_chunk, recipe=recipe, pick=pick)
        specs = (REPLICATED,) * 3 + (spec, P(None, AXIS), REPLICATED)
        chunk = parallel.spmd(self.chunk, mesh, specs, (REPLICATED, REPLICATED))
        self._compiled = jax.jit(chunk, donate_argnums=(0, 1))
        self._take_seeds(config)

    def _take_seeds(self, config):
        data, count = config.data, self._count()
        self._batch_size = config.batch_size
        self._order = Order(count, data.seed, data.shuffle, data.shard_size)
        self.key = parallel.replicated_key(config.seed, self.mesh)

    def _count(self) -> int:
        """Returns the number of examples."""
        return len(self.arrays[1])

    def indices(self, step: int, n: int) -> np.ndarray:
        """Returns the examples of n steps from `step`, int32 [block, batch].

        Rows beyond n are not used; they keep the shape the same.
        """
        positions = step * self._batch_size + np.arange(n * self._batch_size)
        indices = np.zeros((self.block, self._batch_size), np.int32)
        indices[:n] = self._order.examples_at(positions).reshape(n, -1)
        return indices

    def advance(self, state, sums, step: int, n: int):
        """Returns state and sums after n <= steps_per_call more steps from `step`."""
        indices = parallel.split(self.indices(step, n), self.mesh, P(None, AXIS))
        n = parallel.split(np.int32(n), self.mesh, REPLICATED)
        return self._compiled(state, sums, self.key, self.arrays, indices, n)

    def batches(self, step: int):
        """Yields the batches from `step` on, spread over the devices; as streamed."""
        while True:
            index = parallel.split(self.indices(step, 1)[0], self.mesh, SHARDED)
            image, label = self._views(self.arrays, index)
            position = step * self._batch_size + np.arange(self._batch_size)
            position = parallel.split(position.astype(np.int32), self.mesh, SHARDED)
            yield {"image": image, "label": label, "position": position}
            step += 1


def _pick(arrays, index):
    images, labels = arrays
    return images[index], labels[index]


def _chunk(state, sums, key, arrays, indices, n, *, recipe, pick):
    """Runs the first n rows of indices as training steps, on one device of many."""
    per_device = indices.shape[1]
    offset = lax.axis_index(AXIS) * per_device + np.arange(per_device)

    def one_step(i, carry):
        state, sums = carry
        images, labels = pick(arrays, indices[i])
        position = state.step * (per_device * lax.axis_size(AXIS)) + offset
        batch = {"image": images, "label": labels, "position": position}
        state, added = train.train_step(state, batch, key, recipe=recipe)
        return state, metrics.add(sums, added)

    return lax.fori_loop(0, n, one_step, (state, sums))


def streamed_step(recipe, mesh):
    """Returns the compiled step: (state, sums, key, batch) -> (state, sums).

    State and sums are replicated over the mesh and donated, the batch is sharded.
    """

    def one_step(state, sums, key, batch):
        state, added = train.train_step(state, batch, key, recipe=recipe)
        return state, metrics.add(sums, added)

    specs = (REPLICATED, REPLICATED, REPLICATED, SHARDED)
    one_step = parallel.spmd(one_step, mesh, specs, (REPLICATED, REPLICATED))
    return jax.jit(one_step, donate_argnums=(0, 1))


class StreamedFeed(Feed):
    """Batches come from an iterator; one dispatch a step, the next batch on its way."""

    def __init__(self, config, recipe, mesh, open_batches):
        """Compiles nothing yet.

        `open_batches` takes config and a step and returns an iterator over this
        process's batches from there on.
        """
        parallel.check_batch(config.batch_size, mesh)
        self.mesh = mesh
        self._open_batches = open_batches
        self._step = streamed_step(recipe, mesh)
        self._take_seeds(config)

    def _take_seeds(self, config):
        self._key = parallel.replicated_key(config.seed, self.mesh)
        self._open = partial(self._open_batches, config)
        self._batches, self._next_step, self._ready = None, None, None

    def advance(self, state, sums, step: int, n: int):
        """Returns state and sums after n more steps from `step`."""
        if step != self._next_step:
            self._batches = self.batches(step)
            self._ready = next(self._batches)
        for _ in range(n):
            state, sums = self._step(state, sums, self._key, self._ready)
            self._ready = next(self._batches)  # decoded and sent while the step runs
        self._next_step = step + n
        return state, sums

    def batches(self, step: int):
        """Yields the batches from `step` on, spread over the devices."""
        return map(self._on_devices, self._open(step))

    def _on_devices(self, batch):
        batch = {name: batch[name] for name in ("image", "label", "position")}
        return parallel.shard(batch, self.mesh)
