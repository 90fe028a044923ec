"""Memory between the workers and the main process: used again, and gone in the end."""

import pickle
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from bn_repro.data import handover, stream
from bn_repro.data.image_folder import open_source


def test_a_block_is_filled_again_only_when_it_is_free():
    blocks, opened = handover.Blocks(), handover.Opened()
    first, images = blocks.fill((2, 3, 3, 3))
    images[:] = 1
    second, images = blocks.fill((2, 3, 3, 3))
    images[:] = 2
    assert first.name != second.name
    seen = opened.open(first)
    assert seen.shape == (2, 3, 3, 3) and (seen == 1).all()
    opened.free(first)
    larger, _ = blocks.fill((2_000, 3, 3, 3))  # does not fit
    assert larger.name not in (first.name, second.name)
    smaller, images = blocks.fill((1, 3, 3, 3))
    assert smaller.name == first.name
    images[:] = 3
    assert (opened.open(smaller) == 3).all() and (opened.open(second) == 2).all()


def test_blocks_are_gone_with_their_owner():
    blocks = handover.Blocks()
    name = blocks.fill((4,))[0].name
    del blocks
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_each_worker_has_blocks_of_its_own():
    blocks, opened = handover.Blocks(), handover.Opened()
    filled, _ = blocks.fill((4,))
    opened.open(filled)
    opened.free(filled)
    fill = pickle.loads(pickle.dumps(blocks.fill))
    assert fill((4,))[0].name != filled.name


@pytest.fixture
def opened(monkeypatch):
    """Collects what the main process opens, in order: name -> times."""
    times = {}

    class Counted(handover.Opened):
        def open(self, filled):
            times[filled.name] = times.get(filled.name, 0) + 1
            return super().open(filled)

    monkeypatch.setattr(handover, "Opened", Counted)
    return times


@pytest.mark.parametrize("batch_size", [6, 150])  # in one piece, in three
def test_a_stream_uses_few_blocks_and_leaves_none(imagenet_config, opened, batch_size):
    imagenet_config.data.workers, imagenet_config.batch_size = 1, batch_size
    source = open_source(imagenet_config.data, "train")
    batches = stream.train_batches(imagenet_config, source, 0)
    held = [next(batches)["image"] for _ in range(12)]
    copies = [images.copy() for images in held]
    next(batches)
    np.testing.assert_array_equal(held, copies)  # nothing writes into a batch later
    batches.close()
    per_batch = sum(opened.values()) / 13
    assert len(opened) <= per_batch + 4  # the queue's two, the worker's, the feeder's
    for name in opened:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
