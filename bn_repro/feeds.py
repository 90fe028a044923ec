"""How examples reach the training step: from memory, or streamed batch by batch.

A feed's `advance` does n steps from a given one. Which examples they see is a function
of the seed and the step alone, so a run that resumes goes on in the same sequence.
"""

from functools import partial

import jax
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P

from bn_repro import metrics, parallel, train
from bn_repro.data.order import Order
from bn_repro.parallel import AXIS, REPLICATED, SHARDED


class InMemoryFeed:
    """The data set lives on every device; many steps run in one dispatch."""

    def __init__(self, config, recipe, mesh, arrays):
        """Puts the training arrays on the devices.

        Args:
          config: the resolved configuration.
          recipe: what a training step does.
          mesh: the devices.
          arrays: (images [N, ...], labels [N]).
        """
        self._config = config
        self._mesh = mesh
        self._per_device = parallel.check_batch(config.batch_size, mesh)
        self._block = min(config.steps_per_call, config.steps)
        self._key = parallel.replicated_key(config.seed, mesh)
        data = config.data
        self._order = Order(
            len(arrays.labels), data.seed, data.shuffle, data.shard_size
        )
        self._arrays = parallel.replicate(tuple(arrays), mesh)
        chunk = partial(_chunk, recipe=recipe)
        specs = (REPLICATED,) * 4 + (P(None, AXIS), REPLICATED)
        chunk = parallel.spmd(chunk, mesh, specs, (REPLICATED, REPLICATED))
        self._chunk = jax.jit(chunk, donate_argnums=(0, 1))

    def advance(self, state, sums, step: int, n: int):
        """Returns state and sums after n <= steps_per_call more steps from `step`."""
        batch_size = self._config.batch_size
        first = step * batch_size
        # [block, batch]: rows beyond n are not used, they keep the shape the same.
        positions = first + np.arange(n * batch_size)
        indices = np.zeros((self._block, batch_size), np.int32)
        indices[:n] = self._order.examples_at(positions).reshape(n, batch_size)
        return self._chunk(
            state,
            sums,
            self._key,
            self._arrays,
            self._to_devices(indices),
            np.int32(n),
        )

    def _to_devices(self, indices):
        sharding = jax.sharding.NamedSharding(self._mesh, P(None, AXIS))
        return jax.make_array_from_callback(
            indices.shape, sharding, lambda index: indices[index]
        )


def _chunk(state, sums, key, arrays, indices, n, *, recipe):
    """Runs the first n rows of indices as training steps, on one device of many."""
    images, labels = arrays
    per_device = indices.shape[1]
    offset = lax.axis_index(AXIS) * per_device + np.arange(per_device)

    def one_step(i, carry):
        state, sums = carry
        index = indices[i]
        position = state.step * (per_device * lax.axis_size(AXIS)) + offset
        batch = {"image": images[index], "label": labels[index], "position": position}
        state, added = train.train_step(state, batch, key, recipe=recipe)
        return state, metrics.add(sums, added)

    return lax.fori_loop(0, n, one_step, (state, sums))


class StreamedFeed:
    """Batches come from an iterator; one dispatch a step, the next batch on its way."""

    def __init__(self, config, recipe, mesh, open_batches):
        """Compiles nothing yet.

        Args:
          config: the resolved configuration.
          recipe: what a training step does.
          mesh: the devices.
          open_batches: first step -> iterator of this process's batches from there on.
        """
        parallel.check_batch(config.batch_size, mesh)
        self._mesh = mesh
        self._key = parallel.replicated_key(config.seed, mesh)
        self._open = open_batches
        self._batches, self._next_step, self._ready = None, None, None

        def one_step(state, sums, key, batch):
            state, added = train.train_step(state, batch, key, recipe=recipe)
            return state, metrics.add(sums, added)

        specs = (REPLICATED, REPLICATED, REPLICATED, SHARDED)
        one_step = parallel.spmd(one_step, mesh, specs, (REPLICATED, REPLICATED))
        self._step = jax.jit(one_step, donate_argnums=(0, 1))

    def advance(self, state, sums, step: int, n: int):
        """Returns state and sums after n more steps from `step`."""
        if step != self._next_step:
            self._batches = self._open(step)
            self._ready = self._fetch()
        for _ in range(n):
            state, sums = self._step(state, sums, self._key, self._ready)
            self._ready = self._fetch()  # decoded and sent while the step runs
        self._next_step = step + n
        return state, sums

    def _fetch(self):
        batch = next(self._batches)
        batch = {name: batch[name] for name in ("image", "label", "position")}
        return parallel.shard(batch, self._mesh)
