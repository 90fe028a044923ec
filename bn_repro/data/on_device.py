"""Decoded pictures that live on the devices, and the random views cut from them there.

The rectangles are those of the streamed path: the host draws them from (seed, position,
attempt), as `pieces.TrainingPieces` does, and the step cuts, resizes and mirrors. The
pixels are within one of 255 of OpenCV's, which computes with 11 bits. All pictures are
decoded at each start, in memory, by all cores: 50,000 of 64 x 64 take one core 11
seconds. To read as many bytes from a file and check them takes it 1.5, so that a cache
file would gain little where there are eight.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bn_repro.data import decode, pieces
from bn_repro.errors import UserError
from bn_repro.parallel import AXIS

_AT_ONCE = 10_000  # pictures between two lines of progress


class Pictures(NamedTuple):
    """A decoded split."""

    # uint8 RGB [N, H, W, 3], zero right of and below smaller pictures
    images: np.ndarray
    labels: np.ndarray  # int32 [N]
    # height and width of each, int32 [N, 2]; 0 of one that does not decode
    sizes: np.ndarray


def load(
    source,
    keys,
    say: Callable[[str], None],
    room: int | None = None,
    devices: int = 1,
) -> Pictures:
    """Returns all pictures of a source, decoded by a thread a core.

    `keys` are those of `config.data`. `say` is told how far it is; `room`, bytes, is
    what the devices have in all, None if that is not known; the pictures can be split
    into as many equal parts as there are `devices`.

    Raises:
      UserError: they do not fit, or more than `data.max_bad_fraction` do not decode.
    """
    found, bad = [], {}

    def one(i: int) -> tuple:
        record = source[i]
        picture = decode.decode(record["jpeg"], keys.max_pixels)
        if picture is None:
            bad[record["name"]] = decode.problem(record, keys.max_pixels)
        return picture, record["label"]

    largest = np.zeros(2, int)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(source), _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, len(source)))
            found += pool.map(one, numbers)
            shapes = [x.shape[:2] for x, _ in found[first:] if x is not None]
            largest = np.max([largest, *shapes], 0)
            _check(len(source), largest, len(found), bad, keys, room)
            say(f"decoded {len(found):,} of {len(source):,} pictures, kept on devices")
    return _packed(found, largest, devices)


def _check(count: int, largest, done: int, bad: dict, keys, room: int | None) -> None:
    height, width = largest
    needed = count * int(height) * int(width) * 3
    if room is not None and needed > room:
        raise UserError(
            f"data.on_device: {count:,} pictures of up to {height} x {width} take "
            f"{needed / 1e9:.1f} GB, the devices have {room / 1e9:.1f} GB for them: "
            "make them smaller, or set data.on_device=False to stream them"
        )
    pieces.refuse_many(bad, len(bad), done, keys.max_bad_fraction)


def _packed(found: list[tuple], largest, devices: int) -> Pictures:
    rows = len(found) + -len(found) % devices
    images, labels = np.zeros((rows, *largest, 3), np.uint8), np.zeros(rows, np.int32)
    labels[: len(found)] = [label for _, label in found]
    sizes = np.zeros((len(found), 2), np.int32)
    for i, (picture, _) in enumerate(found):
        if picture is not None:
            sizes[i] = height, width = picture.shape[:2]
            images[i, :height, :width] = picture
    return Pictures(images, labels, sizes)


def place(sizes: np.ndarray, example: int, position: int, config) -> tuple[int, ...]:
    """Returns (example, top, left, height, width, mirrored) of a random view.

    `sizes` are those of Pictures; the order puts `example` at `position` in the global
    sample stream. One that does not decode is replaced as in the stream.

    Raises:
      UserError: no replacement decodes either.
    """
    keys = config.data
    for attempt in range(pieces.ATTEMPTS):
        rng = np.random.default_rng((config.seed, position, attempt))
        if attempt:
            example = int(rng.integers(len(sizes)))
        if sizes[example, 0]:
            shape, ranges = sizes[example].tolist(), (keys.crop_area, keys.crop_aspect)
            return example, *decode.draw_view(rng, *shape, *ranges, keys.flip)
    raise UserError(f"{pieces.ATTEMPTS} pictures in a row cannot be decoded")


def pick(arrays, places, *, size: int):
    """Returns views uint8 [B, size, size, 3] and labels [B]; runs on the device.

    Of (images, labels) of Pictures at places, int32 [B, 6] as from `place`.
    """
    images, labels = arrays
    cut = jax.vmap(lambda picture, place: _view(picture, place, size))
    return cut(images[places[:, 0]], places[:, 1:]), labels[places[:, 0]]


def pick_spread(arrays, places, *, size: int):
    """As `pick`, on one of the devices that the pictures are spread over in order.

    Each cuts every device's views of its own pictures, and they are exchanged.
    """
    images, labels = arrays
    places = lax.all_gather(places, AXIS, tiled=True)
    example = places[:, 0] - lax.axis_index(AXIS) * len(labels)
    here = (example >= 0) & (example < len(labels))
    places = places.at[:, 0].set(jnp.where(here, example, 0))
    found = pick(arrays, places, size=size)

    def exchange(x):
        own = jnp.where(here.reshape(-1, *(1,) * (x.ndim - 1)), x, 0)
        return lax.psum_scatter(own, AXIS, tiled=True)

    return tuple(map(exchange, found))


def _view(picture, place, size: int):
    top, left, height, width, mirrored = place
    rows, columns = _along(top, height, size), _along(left, width, size)
    columns = [jnp.where(mirrored, x[::-1], x) for x in columns]
    mixed = _mixed(picture, rows, 0)
    return jnp.rint(_mixed(mixed, columns, 1)).astype(jnp.uint8)


def _along(start, length, size: int):
    """Returns, of each pixel, the two that it lies between and the share of the second.

    OpenCV's INTER_LINEAR: pixels are squares, and what lies outside is the border's.
    """
    at = (np.arange(size, dtype=np.float32) + 0.5) * (length / size) - 0.5
    at = jnp.clip(at, 0, length - 1)
    low = jnp.floor(at).astype(jnp.int32)
    return start + low, start + jnp.minimum(low + 1, length - 1), at - low


def _mixed(picture, along, axis: int):
    low, high, share = along
    share = share[:, None, None] if axis == 0 else share[:, None]
    low, high = (jnp.take(picture, i, axis).astype(jnp.float32) for i in (low, high))
    return low + (high - low) * share
