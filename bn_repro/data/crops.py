"""The views of a picture that an evaluation averages over: 1, 10 or 144 crops.

144 are GoogLeNet's (Sec. 4.2.3; Szegedy et al. 2014): the shorter side at 256, 288, 320
and 352, of each the left, centre and right square (top, centre, bottom of a portrait),
of each square its corners, its centre and the whole, and all of it mirrored. 10 are the
corners and the centre of the centre square at the smallest scale, mirrored too
(Krizhevsky et al. 2012), so they are among the 144. 1 is the centre of the picture
resized by `eval_resize`, the view of every evaluation while training.

The host makes the views that are not mirrored and the device the others
(`with_mirrored`): half of the bytes to make, to hand between processes and to send.
"""

from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np

from bn_repro.data import decode
from bn_repro.errors import UserError

CROPS = (1, 10, 144)
SCALES = (256, 288, 320, 352)  # of the shorter side, for a network that sees 224
SCALES_AT = 224


class View(NamedTuple):
    """A square of a resized picture, resized if it is not of the input's size."""

    height: int  # of the resized picture, pixels
    width: int  # likewise
    top: int  # first row of the square in the resized picture
    left: int  # first column
    side: int  # of the square
    mirrored: bool = False  # left to right


def scales(image_size: int) -> list[int]:
    """Returns the lengths of the shorter side, in proportion to the network's input."""
    return [round(scale * image_size / SCALES_AT) for scale in SCALES]


def geometry(
    height: int, width: int, crops: int, image_size: int, eval_resize: int
) -> list[View]:
    """Returns the views of a picture; those of a second half mirror the first half's.

    Sizes are in pixels; `image_size` is the side of the network's input, `eval_resize`,
    at least as much, the shorter side for a single crop.

    Raises:
      UserError: another number of crops.
    """
    _check(crops)
    if crops == 1:
        shape = decode.resized_shape(height, width, eval_resize)
        top, left = ((side - image_size) // 2 for side in shape)
        return [View(*shape, top, left, image_size)]
    views = []
    for scale in scales(image_size):
        views += _views_at(decode.resized_shape(height, width, scale), image_size)
    if crops == 10:
        views = views[6:11]  # at the first scale, of the second square, not the whole
    return views + [view._replace(mirrored=True) for view in views]


def _views_at(shape: tuple[int, int], size: int) -> list[View]:
    """Returns the 18 views of a resized picture: of each square 5 crops and itself."""
    side = min(shape)
    margin = side - size
    corners = [(0, 0), (0, margin), (margin, 0), (margin, margin)]
    crops = [*corners, (margin // 2, margin // 2)]
    views = []
    for top, left in _squares(*shape):
        views += [View(*shape, top + down, left + right, size) for down, right in crops]
        views.append(View(*shape, top, left, side))
    return views


def _squares(height: int, width: int) -> list[tuple[int, int]]:
    """Returns (top, left) of the largest squares at both ends and in the middle."""
    rest = abs(height - width)
    places = [0, rest // 2, rest]
    return [(0, p) for p in places] if width > height else [(p, 0) for p in places]


def on_host(crops: int) -> int:
    """Returns how many of a picture's views are made on the host, the first ones."""
    _check(crops)
    return crops if crops == 1 else crops // 2


def _check(crops: int) -> None:
    if crops not in CROPS:
        raise UserError(f"crops is {crops}; use one of {', '.join(map(str, CROPS))}")


def with_mirrored(images, crops: int):
    """Returns all views [..., crops, H, W, C] of the host's [..., on_host, H, W, C]."""
    if crops == on_host(crops):
        return images
    return jnp.concatenate([images, images[..., ::-1, :]], axis=-4)


def write_views(
    picture: np.ndarray, crops: int, eval_resize: int, out: np.ndarray
) -> None:
    """Writes the views of a picture that are not mirrored, resizing once a scale.

    Into `out`, uint8 [on_host(crops), size, size, 3], contiguous; of a single view the
    first axis may be left out.
    """
    size = out.shape[-2]
    out = out.reshape(-1, size, size, 3)
    views = geometry(*picture.shape[:2], crops, size, eval_resize)
    shape = None
    for view, target in zip(views[: len(out)], out, strict=True):
        if shape != (view.height, view.width):
            shape = view.height, view.width
            resized = decode.Resized(picture, shape)
        square = resized.square(view.top, view.left, view.side)
        if view.side == size:
            target[:] = square
        else:
            cv2.resize(square, (size, size), target, interpolation=cv2.INTER_LINEAR)
