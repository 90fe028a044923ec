"""Which example stands at which position of the endless sample stream.

Position p belongs to epoch p // n, n the number of examples; each epoch visits every
example once. The order is a function of (seed, epoch) alone, so a stream can start at
any position, on any number of hosts and workers.

The two orders are those of Sec. 4.2.1, "shuffle training examples more thoroughly":
with "shard" the same examples always meet in a mini-batch, with "full" they do not.
grain's own shuffle is not used: it seeds epoch e with seed + e, so that runs with
neighbouring seeds would see the same orders one epoch apart.
"""

import dataclasses
import functools

import numpy as np

# What a random stream is for: two purposes never share a stream.
_PERMUTE, _DEAL, _VISIT = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of `count` examples in every epoch."""

    count: int  # number of examples, n
    seed: int  # of the order; at least 0
    # "full": a new permutation each epoch; "shard": one permutation deals the examples
    # into shards, each epoch visits the shards in a new order and keeps the order
    # inside them
    shuffle: str = "full"
    shard_size: int = 1_024  # examples a shard; the last shard may be smaller

    def examples_at(self, positions: np.ndarray) -> np.ndarray:
        """Returns the example numbers, int32 [k], at stream positions, int64 [k]."""
        epochs, places = np.divmod(positions, self.count)
        examples = np.empty(len(positions), np.int32)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            examples[here] = self.epoch(int(epoch))[places[here]]
        return examples

    def epoch(self, epoch: int) -> np.ndarray:
        """Returns the example numbers of one epoch in order, int32 [count]."""
        return _epoch(self, epoch)


@functools.lru_cache(maxsize=2)  # a batch may reach into the next epoch
def _epoch(order: Order, epoch: int) -> np.ndarray:
    if order.shuffle == "full":
        return _permutation(order.count, _PERMUTE, order.seed, epoch)
    dealt = _permutation(order.count, _DEAL, order.seed)
    shards = np.split(dealt, range(order.shard_size, order.count, order.shard_size))
    visits = _permutation(len(shards), _VISIT, order.seed, epoch)
    return np.concatenate([shards[shard] for shard in visits])


def _permutation(count: int, *seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(count, dtype=np.int32))
