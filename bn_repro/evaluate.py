"""How accurate a network is on exactly the examples of a split.

Also Algorithm 2, steps 7 to 10, whose statistics the inference network is evaluated
with.
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P
from ml_collections import config_dict

from bn_repro import metrics, models, parallel, train
from bn_repro.errors import UserError
from bn_repro.layers import Mode
from bn_repro.parallel import AXIS, REPLICATED, SHARDED


def evaluation_step(variables, batch, *, recipe, statistics):
    """Returns the metric sums of one batch over all devices, and which are right.

    Args:
      variables: params and batch_stats, replicated.
      batch: this device's {"image" [b, ...], "label" [b], "mask" [b], "index" [b]};
        examples where the mask is False are padding and touch neither sums nor
        statistics.
      recipe: holds the network and its input transform.
      statistics: what BN normalises with: "batch" (the batch's own, as in training) or
        any other word for the stored ones.

    Returns:
      (sums as in `metrics.sums`, {"index": [B], "hit": top-1 hits, bool [B]} of the
      examples of all devices).
    """
    mode = Mode(use_running_average=statistics != "batch", mask=batch["mask"])
    images = recipe.inputs(batch["image"], None)
    logits, _ = recipe.model.apply(variables, images, mode)
    sums = metrics.sums(logits, batch["label"], batch["mask"])
    hit = (metrics.ranks(logits, batch["label"]) < 1) & batch["mask"]
    hits = {"index": batch["index"], "hit": hit}
    return lax.psum(sums, AXIS), lax.all_gather(hits, AXIS, tiled=True)


class InMemoryEvaluation:
    """Evaluates a split that lives on the devices, in one dispatch."""

    def __init__(self, recipe, mesh, arrays, batch_size: int, statistics: str):
        """Puts the split, (images [N, ...], labels [N]), on the devices, in batches.

        Each has `batch_size` examples over all devices. With "batch" statistics (see
        `evaluation_step`) they normalise together, so use the training batch's size;
        it is kept even if there are fewer in all, since groups divide it.
        """
        self._count = len(arrays[1])
        size = batch_size if statistics == "batch" else min(batch_size, self._count)
        width = -(-size // mesh.size) * mesh.size
        self._batches = jax.tree.map(
            lambda *x: parallel.split(np.stack(x), mesh, P(None, AXIS)),
            *cut(*map(np.asarray, arrays), size, width=width),
        )
        step = partial(evaluation_step, recipe=recipe, statistics=statistics)

        def all_batches(variables, batches):
            sums, hits = lax.map(lambda batch: step(variables, batch), batches)
            return jax.tree.map(lambda x: x.sum(0), sums), hits

        specs = (REPLICATED, P(None, AXIS))
        self._run = jax.jit(parallel.spmd(all_batches, mesh, specs, REPLICATED))

    def __call__(self, variables) -> tuple[dict, np.ndarray]:
        """Returns loss, accuracy, top5 and count, and top-1 hits, bool [N]."""
        sums, hits = self._run(variables, self._batches)
        return metrics.divide(sums), _in_order([hits], self._count)


def streamed_step(recipe, mesh, statistics: str):
    """Returns the compiled `evaluation_step`: (variables, sharded batch) -> result."""
    step = partial(evaluation_step, recipe=recipe, statistics=statistics)
    return jax.jit(parallel.spmd(step, mesh, (REPLICATED, SHARDED), REPLICATED))


class StreamedEvaluation:
    """Evaluates a split that is read batch by batch."""

    def __init__(self, recipe, mesh, open_batches, statistics: str, count: int):
        """Compiles nothing yet.

        `open_batches` returns an iterator over this process's padded batches of the
        split's N = `count` examples; `statistics` as in `evaluation_step`.
        """
        self._mesh = mesh
        self._open = open_batches
        self._count = count
        self._step = streamed_step(recipe, mesh, statistics)

    def __call__(self, variables) -> tuple[dict, np.ndarray]:
        """Returns loss, accuracy, top5 and count, and top-1 hits, bool [N].

        Raises:
          UserError: none of the pictures can be decoded.
        """
        total, found = None, []
        for batch in self._open():
            batch = {name: batch[name] for name in ("image", "label", "mask", "index")}
            batch["index"] = batch["index"].astype(np.int32)
            sums, hits = self._step(variables, parallel.shard(batch, self._mesh))
            total = sums if total is None else metrics.add(total, sums)
            found.append(hits)
        metrics.refuse_none(total["count"], self._count)
        return metrics.divide(total), _in_order(found, self._count)


def _in_order(found: list[dict], count: int) -> np.ndarray:
    """Returns the hits of all batches by the examples' index, bool [count]."""
    right = np.zeros(count, bool)
    for hits in jax.device_get(parallel.local(found)):
        right[hits["index"][hits["hit"]]] = True
    return right


def cut(images, labels, size: int, first: int = 0, width: int = 0):
    """Yields images [N, ...] and labels [N] in order, in batches of one shape.

    A batch holds `size` of them, the first of all those of index `first`, and is padded
    to b = `width` examples; by default, and at least, to `size`.

    Yields:
      {"image": [b, ...], "label": [b], "mask": [b], False for padding, "index": [b]
      int32, there -1}.
    """
    places = np.arange(width or size, dtype=np.int32)
    for start in range(first, len(labels), size):
        index = start + places
        mask = (places < size) & (index < len(labels))
        safe = np.where(mask, index, 0)
        batch = {"image": images[safe], "label": labels[safe], "mask": mask}
        yield batch | {"index": np.where(mask, index, -1)}


def batch_statistics(variables, batch, key, step, *, model, inputs):
    """Returns mu and m / (m - 1) s2 of one batch, as batch_stats, and the ema_count.

    They are means over groups.

    `batch` is this device's {"image" [b, ...], "position" [b]}; `variables` are
    replicated. The run's key and the step are for the augmentation; `inputs` as in
    `train.Recipe`.
    """
    keys = train.example_keys(key, step, batch["position"])
    # The first update of bias-corrected averages is the mini-batch's statistics.
    fresh = {
        "params": variables["params"],
        "batch_stats": jax.tree.map(jnp.zeros_like, variables["batch_stats"]),
        "ema_count": _no_updates(variables["batch_stats"]),
    }
    images = inputs(batch["image"], keys)
    mode = Mode(update_stats=True)
    _, updated = model.apply(fresh, images, mode, mutable=train.COLLECTIONS)
    return lax.pmean(updated["batch_stats"], AXIS), updated["ema_count"]


def _no_updates(batch_stats: dict) -> dict:
    """Returns the ema_count of networks that had no update, one for each BN."""
    if not all(isinstance(below, Mapping) for below in batch_stats.values()):
        return {"t": jnp.zeros((), jnp.int32)}
    return {name: _no_updates(below) for name, below in batch_stats.items()}


class PopulationStatistics:
    """Estimates Algorithm 2's statistics from training mini-batches.

    The parameters are frozen, N training mini-batches pass through the network, each
    normalised by its own statistics, and for every BN E[x] is the mean of their mu and
    Var[x] the mean of m / (m - 1) times their s2, with that layer's m. A mini-batch is
    what `bn.batch` normalises together. Pictures are augmented as in training; dropout
    and `bn.noise` are off, as in the network that the statistics are for.
    """

    def __init__(self, config, recipe, mesh):
        """Compiles nothing yet."""
        own = config_dict.ConfigDict(config.to_dict())
        own.bn.biased, own.bn.noise = False, 0.0
        model = models.build(own, AXIS)
        step = partial(batch_statistics, model=model, inputs=recipe.inputs)
        specs = (REPLICATED, SHARDED, REPLICATED, REPLICATED)
        self._step = jax.jit(parallel.spmd(step, mesh, specs, REPLICATED))
        self._mesh, self._norm = mesh, config.model.norm

    def __call__(
        self,
        variables,
        feed,
        seed: int,
        step: int,
        count: int,
        report=lambda done, of: None,
    ) -> dict:
        """Returns the statistics from the first `count` batches.

        The batches are those that follow a training step, so they are the same at any
        time and on any number of devices; so are the statistics, but for `bn.batch` =
        "device". `report` is called with (batches done, of how many).

        Returns:
          batch_stats, numpy arrays of the dtype of the network's statistics.
        """
        key = parallel.replicated_key(seed, self._mesh)
        total, batches = None, feed.batches(step)
        for n in range(count):
            batch = next(batches)
            batch = {name: batch[name] for name in ("image", "position")}
            found = self._step(variables, batch, key, np.int32(step + n))
            statistics, counts = found
            if n == 0:
                self._refuse_uncounted(counts)
            wide = jax.tree.map(np.float64, jax.device_get(parallel.local(statistics)))
            total = wide if total is None else jax.tree.map(np.add, total, wide)
            report(n + 1, count)
        mean = lambda total, like: (total / count).astype(like.dtype)  # noqa: E731
        return jax.tree.map(mean, total, statistics)

    def _refuse_uncounted(self, counts) -> None:
        """Raises UserError if a norm did not replace its averages by the statistics."""
        if not all(map(int, jax.tree.leaves(jax.device_get(parallel.local(counts))))):
            raise UserError(
                f"model.norm={self._norm!r} does not count its updates in ema_count, "
                "as layers.BatchNorm does, so that Algorithm 2 cannot be computed: set "
                "eval.population_batches_during=0, and evaluate with --statistics ema"
            )
