import numpy as np
import pytest

from bn_repro.data.order import Order

COUNT, SHARD = 103, 10


def make(shuffle, seed=3):
    return Order(COUNT, seed, shuffle, SHARD)


@pytest.mark.parametrize("shuffle", ["full", "shard"])
def test_an_epoch_visits_every_example_once(shuffle):
    for epoch in range(3):
        assert sorted(make(shuffle).epoch(epoch)) == list(range(COUNT))


@pytest.mark.parametrize("shuffle", ["full", "shard"])
def test_epochs_and_seeds_differ_and_repeat(shuffle):
    epochs = [
        tuple(make(shuffle, seed).epoch(epoch)) for seed in (3, 4) for epoch in (0, 1)
    ]
    assert len(set(epochs)) == 4  # seed 4's epoch 0 is not seed 3's epoch 1 either
    assert epochs[1] == tuple(make(shuffle).epoch(1))


def shards_of(epoch):
    """Returns the epoch cut where a shard ends; the short one may be anywhere."""
    dealt = {tuple(epoch[i : i + SHARD]) for i in range(COUNT - SHARD + 1)}
    return dealt


def test_shard_keeps_the_examples_of_a_shard_together_and_in_order():
    first, second = (make("shard").epoch(epoch) for epoch in (0, 1))
    together = shards_of(first) & shards_of(second)
    assert len(together) >= COUNT // SHARD  # all full shards come again
    place = {example: i for i, example in enumerate(second)}
    steps = np.diff([place[example] for example in first])
    assert (steps == 1).sum() >= COUNT - 1 - COUNT // SHARD
    assert (steps != 1).sum() >= COUNT // SHARD // 2  # in another order of shards


def test_shards_are_dealt_at_random_from_all_examples():
    for shard in shards_of(make("shard").epoch(0)):
        assert np.ptp(shard) > 3 * SHARD


def test_full_separates_neighbours():
    first, second = (make("full").epoch(epoch) for epoch in (0, 1))
    place = {example: i for i, example in enumerate(second)}
    assert sum(np.diff([place[example] for example in first]) == 1) < 6


@pytest.mark.parametrize("shuffle", ["full", "shard"])
def test_positions_run_through_the_epochs(shuffle):
    order = make(shuffle)
    stream = np.concatenate([order.epoch(epoch) for epoch in range(4)])
    positions = np.array([0, 102, 103, 205, 206, 400, 7])
    np.testing.assert_array_equal(order.examples_at(positions), stream[positions])


def test_imagenet_takes_milliseconds_and_32_bits():
    order = Order(1_281_167, 0, "shard").epoch(5)
    assert order.dtype == np.int32 and len(np.unique(order)) == 1_281_167
