"""Memory between the workers and the main process: used again, and gone in the end."""

import gc
import pickle
import time
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from bn_repro.data import shared_memory, stream
from bn_repro.data.image_folder import open_source
from bn_repro.data.stream_test import assert_same, joined


def test_a_block_is_filled_again_only_when_it_is_free():
    blocks = shared_memory.Blocks()
    first, images = blocks.fill((2, 3, 3, 3))
    images[:] = 1
    second, images = blocks.fill((2, 3, 3, 3))
    images[:] = 2
    assert first.block is not second.block
    received = pickle.loads(pickle.dumps(first))
    assert received.images.shape == (2, 3, 3, 3) and (received.images == 1).all()
    received.free()
    larger, _ = blocks.fill((2_000, 3, 3, 3))  # does not fit
    assert larger.block not in (first.block, second.block)
    smaller, images = blocks.fill((1, 3, 3, 3))
    assert smaller.block is first.block
    images[:] = 3
    again = pickle.loads(pickle.dumps(smaller))
    assert again.block is received.block  # it is opened once
    assert (again.images == 3).all() and (second.images == 2).all()


def test_blocks_are_gone_with_their_owner_but_for_what_was_received():
    blocks = shared_memory.Blocks()
    filled, images = blocks.fill((4,))
    images[:] = 5
    received = pickle.loads(pickle.dumps(filled))
    name = filled.block.name
    unread = pickle.dumps(blocks.fill((4,))[0])
    del blocks
    pickle.loads(unread)  # as a stream does that is closed: no error
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)
    assert (received.images == 5).all()


def test_each_worker_has_blocks_of_its_own():
    blocks = shared_memory.Blocks()
    filled, _ = blocks.fill((4,))
    filled.free()
    fill = pickle.loads(pickle.dumps(blocks.fill))
    assert fill((4,))[0].block.name != filled.block.name


@pytest.fixture
def kept(monkeypatch):
    """Counts what the main process copies, by block."""
    times = {}

    class Counted(shared_memory.Kept):
        def keep(self, filled):
            times[filled.block.name] = times.get(filled.block.name, 0) + 1
            super().keep(filled)

    monkeypatch.setattr(shared_memory, "Kept", Counted)
    return times


@pytest.mark.parametrize(
    "batch_size",
    [pytest.param(6, marks=pytest.mark.slow), 150],  # in one piece, in three
)
def test_a_stream_uses_few_blocks_and_leaves_none(imagenet_config, kept, batch_size):
    imagenet_config.data.workers, imagenet_config.batch_size = 1, batch_size
    source = open_source(imagenet_config.data, "train")
    batches = stream.train_batches(imagenet_config, source, 0)
    held = [next(batches)["image"] for _ in range(12)]
    copies = [images.copy() for images in held]
    next(batches)
    np.testing.assert_array_equal(held, copies)  # nothing writes into a batch later
    batches.close()
    per_batch = sum(kept.values()) / 13
    assert len(kept) <= per_batch + 6  # the queue's, the reader's and the worker's own
    for name in kept:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)


def open_blocks():
    """Returns the names of the blocks that this process has mapped."""
    blocks = [x for x in gc.get_objects() if isinstance(x, SharedMemory)]
    return {block.name for block in blocks if block.buf is not None}


@pytest.mark.slow
def test_a_stream_that_ended_keeps_nothing_open(imagenet_config, kept):
    imagenet_config.data.workers = 1
    source = open_source(imagenet_config.data, "val")
    batches = stream.eval_batches(imagenet_config, source)
    gc.disable()
    try:
        assert len(list(batches)) == 3
        batches.close()
        mapped = open_blocks()
    finally:
        gc.enable()
    assert kept and not mapped & set(kept)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_slow_reader_gets_all_of_a_stream_that_ends(imagenet_config, workers):
    """The workers have ended, and their blocks are gone, before it reads the last."""
    imagenet_config.eval.batch_size = 3
    source = open_source(imagenet_config.data, "val")
    expected = joined(list(stream.eval_batches(imagenet_config, source)))
    imagenet_config.data.workers = workers
    batches = stream.eval_batches(imagenet_config, source)
    found = [next(batches)]
    time.sleep(2)
    assert_same(joined(found + list(batches)), expected)


class Failing:
    """A source that cannot be read from an example on."""

    def __init__(self, source, first):
        self.source, self.first, self.class_names = source, first, source.class_names

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i):
        if i >= self.first:
            raise OSError("the disk is gone")
        return self.source[i]


@pytest.mark.slow
def test_a_slow_reader_gets_the_error_of_a_worker(imagenet_config):
    imagenet_config.eval.batch_size, imagenet_config.data.workers = 3, 1
    source = Failing(open_source(imagenet_config.data, "val"), 9)
    batches = stream.eval_batches(imagenet_config, source)
    next(batches)
    time.sleep(2)
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches)
