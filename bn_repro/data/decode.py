"""From an encoded picture to the network's uint8 input, with OpenCV.

Everything comes out as 8-bit RGB: greyscale is repeated over the channels, CMYK and
palettes are converted, of 16 bits the upper 8 are kept, an alpha channel is dropped,
the format is told from the bytes and not from the name. The orientation tag of EXIF and
of TIFF is ignored, as TensorFlow's and torchvision's ImageNet pipelines do: the
published accuracies, and the data set's bounding boxes, belong to the stored pixels.

Resizing is INTER_LINEAR without antialiasing at every scale, TF-Slim's choice.
"""

import math

import cv2
import numpy as np

from bn_repro.data import picture_header

MAX_PIXELS = 100_000_000  # 300 MB decoded
_CROP_ATTEMPTS = 10
_LONG = 4  # length over width from which less is resized than the whole


def decode(encoded: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    """Returns the picture, uint8 RGB [H, W, 3], or None if it cannot be decoded.

    A truncated file cannot be decoded; damage that leaves a valid stream goes unseen.
    One whose header states more than max_pixels is not begun.
    """
    if picture_header.pixels(encoded) > max_pixels:
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    stored = np.frombuffer(picture_header.plain_tiff(encoded), np.uint8)
    try:
        return cv2.imdecode(stored, flags)
    except cv2.error:  # no bytes at all, or a header that claims too many pixels
        return None


def problem(record: dict, max_pixels: int = MAX_PIXELS) -> str:
    """Returns why a source's record cannot be decoded, in a few words.

    Its "problem" says why it could not be read, if that is why.
    """
    if "problem" in record:
        return record["problem"]
    if (pixels := picture_header.pixels(record["jpeg"])) > max_pixels:
        return f"{pixels:,} pixels, more than data.max_pixels={max_pixels:,}"
    return "damaged, or no picture" if record["jpeg"] else "empty"


def random_crop_box(
    rng: np.random.Generator,
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> tuple[int, int, int, int]:
    """Returns (top, left, height, width) of a random crop inside a picture.

    GoogLeNet's crop: the share of the picture's area is uniform in `area`, the aspect
    ratio (width / height) lies in `aspect`, uniform in its logarithm so that wide and
    tall crops are equally likely. When ten draws in a row do not fit, the largest
    centred box with an aspect ratio in `aspect` is taken.
    """
    across, down, *draws = rng.random(2 + 2 * _CROP_ATTEMPTS).tolist()
    low, high = math.log(aspect[0]), math.log(aspect[1])
    for share, ratio in zip(draws[::2], draws[1::2], strict=True):
        pixels = height * width * (area[0] + share * (area[1] - area[0]))
        ratio = math.exp(low + ratio * (high - low))
        crop_height = round(math.sqrt(pixels / ratio))
        crop_width = round(math.sqrt(pixels * ratio))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            top = int(down * (height - crop_height + 1))
            left = int(across * (width - crop_width + 1))
            return top, left, crop_height, crop_width
    return _largest_centred_box(height, width, aspect)


def _largest_centred_box(height, width, aspect):
    crop_width = min(width, max(1, round(height * aspect[1])))
    crop_height = min(height, max(1, round(width / aspect[0])))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return top, left, crop_height, crop_width


def draw_view(rng, height, width, area, aspect, flip) -> tuple:
    """Returns (top, left, height, width, mirrored) of a random view; see below."""
    mirrored = rng.random() < 0.5
    return *random_crop_box(rng, height, width, area, aspect), flip and mirrored


def training_view(
    picture: np.ndarray,
    rng: np.random.Generator,
    area: tuple[float, float],
    aspect: tuple[float, float],
    flip: bool,
    out: np.ndarray,
) -> None:
    """Writes a random crop, resized and if `flip` mirrored half the time, into out.

    `picture` is uint8 [H, W, 3], `out` uint8 [size, size, 3], contiguous. The example's
    own rng is the only source of randomness. `area`, shares of the picture's, and
    `aspect`, width / height, are the ranges of `random_crop_box`.
    """
    shape = picture.shape[:2]
    top, left, height, width, mirrored = draw_view(rng, *shape, area, aspect, flip)
    crop = picture[top : top + height, left : left + width]
    cv2.resize(crop, out.shape[1::-1], dst=out, interpolation=cv2.INTER_LINEAR)
    if mirrored:
        cv2.flip(out, 1, dst=out)


def resized_shape(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Returns (height, width) in proportion, the shorter of which is `shorter`."""
    scale = shorter / min(height, width)
    height, width = (math.floor(side * scale + 0.5) for side in (height, width))
    return max(shorter, height), max(shorter, width)


class Resized:
    """A picture of another size, of which squares are taken.

    It is resized as a whole, unless it is so long that this would take gigabytes.
    """

    def __init__(self, picture: np.ndarray, shape: tuple[int, int]):
        """Takes a picture, uint8 [H, W, 3], and (height, width) to resize it to."""
        self._picture, self._shape, self._whole = picture, shape, None
        if max(shape) <= _LONG * min(shape):
            size, how = shape[::-1], cv2.INTER_LINEAR
            self._whole = cv2.resize(picture, size, interpolation=how)

    def square(self, top: int, left: int, side: int) -> np.ndarray:
        """Returns the square, uint8 [side, side, 3], at a row and column."""
        if self._whole is not None:
            return self._whole[top : top + side, left : left + side]
        found, starts = self._picture, (top, left)
        for axis in sorted((0, 1), key=lambda axis: -found.shape[axis]):
            old, new = found.shape[axis], self._shape[axis]
            at = (np.arange(starts[axis], starts[axis] + side) + 0.5) * old / new - 0.5
            at = np.clip(at, 0, old - 1)
            low = at.astype(int)
            share = (at - low)[(slice(None), *[None] * (2 - axis))]
            above = found.take(np.minimum(low + 1, old - 1), axis)
            found = found.take(low, axis) * (1 - share) + above * share
        return np.rint(found).astype(np.uint8)
