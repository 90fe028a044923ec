"""How decoded pictures that live on the devices reach the training step."""

from functools import partial

import numpy as np

from bn_repro import feeds
from bn_repro.data import on_device
from bn_repro.parallel import REPLICATED, SHARDED


class OnDeviceFeed(feeds.InMemoryFeed):
    """Decoded pictures live on the devices; views are cut from them in the step.

    On CPU one dispatch a step: a convolution in a loop is 40 times slower there.
    """

    def __init__(
        self, config, recipe, mesh, pictures: on_device.Pictures, spread: bool = False
    ):
        """Puts the pictures on the devices: all on each or, if `spread`, a part."""
        self._sizes = pictures.sizes
        spec = SHARDED if spread else REPLICATED
        pick = on_device.pick_spread if spread else on_device.pick
        pick = partial(pick, size=config.data.image_size)
        super().__init__(config, recipe, mesh, pictures[:2], pick, spec)
        self._step = feeds.streamed_step(recipe, mesh)
        self.by_step = mesh.devices.flat[0].platform == "cpu"

    def _count(self):
        return len(self._sizes)

    def _take_seeds(self, config):
        super()._take_seeds(config)
        self._config = config

    def indices(self, step: int, n: int) -> np.ndarray:
        """Returns the views of n steps from `step`, int32 [block, batch, 6]."""
        indices = super().indices(step, n)
        places = np.zeros((*indices.shape, 6), np.int32)
        first = step * self._batch_size
        for i, example in enumerate(indices[:n].flat):
            place = on_device.place(self._sizes, example, first + i, self._config)
            places[np.unravel_index(i, indices.shape)] = place
        return places

    def advance(self, state, sums, step: int, n: int):
        """Returns state and sums after n <= steps_per_call more steps from `step`."""
        if not self.by_step:
            return super().advance(state, sums, step, n)
        for _, batch in zip(range(n), self.batches(step), strict=False):
            state, sums = self._step(state, sums, self.key, batch)
        return state, sums
