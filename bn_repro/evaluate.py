"""How accurate a network is on exactly the examples of a split."""

from functools import partial

import jax
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P

from bn_repro import metrics, parallel
from bn_repro.layers import Mode
from bn_repro.parallel import AXIS, REPLICATED, SHARDED


def evaluation_step(variables, batch, *, recipe, statistics, axis_name=AXIS):
    """Returns the metric sums of one batch over all devices.

    Args:
      variables: params and batch_stats, replicated.
      batch: this device's {"image" [b, ...], "label" [b], "mask" [b]}; examples where
        the mask is False are padding and touch neither sums nor statistics.
      recipe: holds the network and its input transform.
      statistics: what BN normalises with: "ema" (the stored moving averages) or "batch"
        (the batch's own, as in training).
      axis_name: mesh axis of the examples; None on one device without a mesh.
    """
    mode = Mode(use_running_average=statistics == "ema", mask=batch["mask"])
    images = recipe.inputs(batch["image"], None)
    logits, _ = recipe.model.apply(variables, images, mode)
    sums = metrics.sums(logits, batch["label"], batch["mask"])
    return sums if axis_name is None else lax.psum(sums, axis_name)


class InMemoryEvaluation:
    """Evaluates a split that lives on the devices, in one dispatch."""

    def __init__(self, recipe, mesh, arrays, batch_size: int, statistics: str):
        """Puts the split on the devices as padded batches.

        Args:
          recipe: holds the network and its input transform.
          mesh: the devices.
          arrays: (images [N, ...], labels [N]).
          batch_size: examples a batch, over all devices. With "batch" statistics it is
            the mini-batch that normalises, so use the training batch's.
          statistics: see `evaluation_step`.
        """
        self._batches = jax.tree.map(
            lambda x: _spread(x, mesh), stack_batches(*arrays, batch_size, mesh.size)
        )
        step = partial(evaluation_step, recipe=recipe, statistics=statistics)

        def all_batches(variables, batches):
            sums = lax.map(lambda batch: step(variables, batch), batches)
            return jax.tree.map(lambda x: x.sum(0), sums)

        specs = (REPLICATED, P(None, AXIS))
        self._run = jax.jit(parallel.spmd(all_batches, mesh, specs, REPLICATED))

    def __call__(self, variables) -> dict:
        """Returns loss, accuracy, top5 and count over the split."""
        return metrics.divide(self._run(variables, self._batches))


def streamed_step(recipe, mesh, statistics: str):
    """Returns the compiled `evaluation_step`: (variables, sharded batch) -> sums."""
    step = partial(evaluation_step, recipe=recipe, statistics=statistics)
    return jax.jit(parallel.spmd(step, mesh, (REPLICATED, SHARDED), REPLICATED))


class StreamedEvaluation:
    """Evaluates a split that is read batch by batch."""

    def __init__(self, recipe, mesh, open_batches, statistics: str):
        """Compiles nothing yet.

        Args:
          recipe: holds the network and its input transform.
          mesh: the devices.
          open_batches: () -> iterator of this process's padded batches.
          statistics: see `evaluation_step`.
        """
        self._mesh = mesh
        self._open = open_batches
        self._step = streamed_step(recipe, mesh, statistics)

    def __call__(self, variables) -> dict:
        """Returns loss, accuracy, top5 and count over the split."""
        total = None
        for batch in self._open():
            batch = {name: batch[name] for name in ("image", "label", "mask")}
            sums = self._step(variables, parallel.shard(batch, self._mesh))
            total = sums if total is None else metrics.add(total, sums)
        return metrics.divide(total)


def stack_batches(images, labels, batch_size: int, multiple: int = 1) -> dict:
    """Returns the examples as equal batches; the last is padded and masked.

    Args:
      images: [N, ...].
      labels: [N].
      batch_size: examples a batch; padding is added up to a multiple of `multiple`.
      multiple: number of devices that a batch is split over.

    Returns:
      {"image": [n, b, ...], "label": [n, b], "mask": [n, b]}; in order, each example
      exactly once.
    """
    batch_size = min(batch_size, len(labels))
    batches = -(-len(labels) // batch_size)
    padded = -(-batch_size // multiple) * multiple

    def stack(x):
        x = np.asarray(x)
        x = np.pad(x, [(0, batches * batch_size - len(x))] + [(0, 0)] * (x.ndim - 1))
        x = x.reshape(batches, batch_size, *x.shape[1:])
        widths = [(0, 0), (0, padded - batch_size)] + [(0, 0)] * (x.ndim - 2)
        return np.pad(x, widths)

    mask = np.ones(len(labels), bool)
    return {"image": stack(images), "label": stack(labels), "mask": stack(mask)}


def _spread(x, mesh):
    sharding = jax.sharding.NamedSharding(mesh, P(None, AXIS))
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
