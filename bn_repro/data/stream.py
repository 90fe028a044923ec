"""Streams of batches of pictures, decoded ahead of the step that wants them.

grain deals the pieces of the batches to the workers. Reading runs ahead in threads and
keeps encoded bytes; a later map decodes. The stream starts at any step: its place is
one number, not the state of an iterator.
"""

import dataclasses
import functools
import gc
import math
import weakref
from collections.abc import Callable

import cv2
import grain
import numpy as np
from absl import flags, logging

from bn_repro.data import crops as view_crops
from bn_repro.data import decode, pieces, shared_memory, workers
from bn_repro.data.order import Order
from bn_repro.errors import UserError

READ_THREADS = 4  # at most, in every process that reads
_ENDLESS = 2**40  # batches


def train_batches(config, source, start_step, process_index=0, process_count=1):
    """Returns an endless iterator over this process's share of the training batches.

    Args:
      config: resolved configuration; uses `seed`, `batch_size` and `data`.
      source: random access to undecoded pictures, see `data.open_source`.
      start_step: number of the first batch, 0 at the beginning of training.
      process_index: of this process, which takes the process_index-th contiguous part
        of each global batch.
      process_count: number of processes; divides the batch size.

    Returns:
      A `Batches` of dicts: "image" uint8 [b, size, size, 3], "label" int32 [b],
      "position" int64 [b], the examples' places in the global sample stream.

    Raises:
      UserError: the batch size does not divide, or, while iterating, more than
        `data.max_bad_fraction` of the pictures cannot be decoded.
    """
    data = config.data
    order = Order(len(source), data.seed, data.shuffle, data.shard_size)
    ranges = {"area": tuple(data.crop_area), "aspect": tuple(data.crop_aspect)}
    view = functools.partial(decode.training_view, **ranges, flip=data.flip)
    how = config.seed, data.image_size, view, _allocate(data), data.max_pixels
    work = pieces.TrainingPieces(source, order, *how)
    cut = pieces.Pieces(config.batch_size, process_index, process_count)
    return _batches(cut, range(start_step, _ENDLESS), work, data)


def eval_batches(config, source, process_index=0, process_count=1, batch_size=0):
    """Returns an iterator over this process's share of the evaluation batches.

    Each picture comes exactly once at any batch size, in the source's order; every
    process yields the same number of batches, the last ones padded. A picture that
    cannot be decoded is masked like padding, but keeps its label and index. It
    has `batch_size` examples over all processes; 0: as `eval.batch_size`.

    Returns:
      A `Batches` of dicts: "image" uint8 [b, size, size, 3], "label" int32 [b], "mask"
      bool [b], False for padding, "index" int64 [b] into the source, -1 for padding.

    Raises:
      UserError: as `train_batches`, or `data.eval_resize` is below `data.image_size`.
    """
    size = batch_size or config.eval.batch_size
    return _evaluation(config, source, 1, (), size, 0, process_index, process_count)


def view_batches(
    config, source, crops, batch_size, first=0, process_index=0, process_count=1
):
    """Returns an iterator as `eval_batches`, but of several views of each picture.

    Of `crops` views each, 1, 10 or 144 (see `crops.geometry`); a batch has `batch_size`
    pictures over all processes, the first of all is `first`, so that an interrupted
    evaluation goes on.

    Returns:
      A `Batches` as `eval_batches`, "image" uint8 [b, v, size, size, 3]: of each
      picture the v = `crops.on_host(crops)` views that are not mirrored; in the step
      `crops.with_mirrored` adds the others.

    Raises:
      UserError: as `eval_batches`, or another number of crops.
    """
    views, cut = (view_crops.on_host(crops),), (process_index, process_count)
    return _evaluation(config, source, crops, views, batch_size, first, *cut)


def _evaluation(config, source, crops, views: tuple, batch_size, first, *processes):
    """Returns `view_batches`; `views` are the images' axis of those, or ()."""
    data = config.data
    if data.eval_resize < data.image_size:
        raise UserError(
            f"data.eval_resize is {data.eval_resize}; it must be at least "
            f"data.image_size={data.image_size}"
        )
    shape = (*views, data.image_size, data.image_size, 3)
    how = {"crops": crops, "eval_resize": data.eval_resize}
    view = functools.partial(view_crops.write_views, **how)
    work = pieces.EvaluationPieces(
        source, shape, view, _allocate(data), first, data.max_pixels
    )
    most = max(1, pieces.MOST // math.prod(views))
    cut = pieces.Pieces(batch_size, *processes, most)
    steps = -(-max(0, len(source) - first) // batch_size)
    return _batches(cut, range(steps), work, data)


class Batches:
    """An iterator over batches that names and counts pictures that do not decode.

    It stops its workers at its end; close it, or drop it, if it is not wanted so long.
    """

    def __init__(self, dataset, kept: shared_memory.Kept, max_bad_fraction: float):
        """Opens the stream; `kept` is closed with it."""
        self.bad: dict[str, int] = {}  # names that do not decode -> how often so far
        self.pictures = 0  # places in batches so far
        self._problems: dict[str, str] = {}
        self._max_bad_fraction = max_bad_fraction
        self._open = [workers.started(dataset)]
        self._finalizer = weakref.finalize(self, _close, self._open, kept)

    def __iter__(self):
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        if not self._open:
            raise StopIteration
        try:
            batch = next(self._open[0], None)
        except (RuntimeError, MemoryError) as error:
            self.close()
            raise workers.explained(error) from error
        if batch is None:
            self.close()
            raise StopIteration
        self.pictures += len(batch["label"])
        for name, why in batch.pop("bad"):
            self._count_bad(name, why)
        return batch

    def close(self) -> None:
        """Stops reading ahead and the worker processes; no batch follows."""
        self._finalizer()

    def _count_bad(self, name: str, why: str) -> None:
        if name not in self.bad:
            what = pieces.listed({name: why})
            logging.warning("cannot decode %s; replaced in training, else masked", what)
            self._problems[name] = why
        self.bad[name] = self.bad.get(name, 0) + 1
        counts = sum(self.bad.values()), self.pictures
        try:
            pieces.refuse_many(self._problems, *counts, self._max_bad_fraction)
        except UserError:
            self.close()
            raise


def _close(iterators: list, kept: shared_memory.Kept) -> None:
    """Closes the iterator and forgets it: grain's cannot be collected at exit.

    The pipes to its workers are in cycles of references. They would stay open until
    Python collects those, which it does seldom: an evaluation leaves seven descriptors.
    """
    iterators.pop().close()
    kept.close()
    gc.collect()


def _batches(cut: pieces.Pieces, steps: range, work, data) -> Batches:
    """Returns the batches of the steps, read and decoded by grain."""
    cv2.setNumThreads(0)  # the workers are the parallelism
    if data.workers:
        work = dataclasses.replace(work, source=workers.Handed(work.source))
    ends = steps.start * cut.per_batch, steps.stop * cut.per_batch
    numbers = grain.MapDataset.range(*ends)
    dataset = (
        numbers.map(cut.positions)
        .map(work.read)
        .to_iter_dataset(grain.ReadOptions(READ_THREADS, prefetch_buffer_size=4))
        .map(work.decode)
    )
    if data.workers:
        if not flags.FLAGS.is_parsed():  # grain reads flags; a notebook parses none
            flags.FLAGS.mark_as_parsed()
        # What is not images is sent as it is.
        small = grain.experimental.DatasetOptions(min_shm_size=2**20)
        dataset = grain.experimental.WithOptionsIterDataset(dataset, small)
        options = grain.MultiprocessingOptions(data.workers, per_worker_buffer_size=2)
        dataset = dataset.mp_prefetch(options, worker_init_fn=workers.start_worker)
    ahead = grain.experimental.ThreadPrefetchIterDataset
    dataset = ahead(dataset, prefetch_buffer_size=2)
    kept = shared_memory.Kept()
    join = functools.partial(pieces.joined, kept)
    dataset = dataset.batch(cut.per_batch, batch_fn=join)
    return Batches(dataset, kept, data.max_bad_fraction)


def _allocate(data) -> Callable:
    """Returns where the images of a piece go, see `pieces.TrainingPieces.allocate`."""
    return shared_memory.Blocks().fill if data.workers else pieces.fresh
