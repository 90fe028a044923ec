import io
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from bn_repro.data import crops, decode, picture_header
from bn_repro.data.conftest import make_picture

PICTURE = make_picture(0, 60, 80)
RGB = Image.fromarray(PICTURE)
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)


def encode(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn right by 90 degrees to show"
    return encode(RGB, "JPEG", exif=exif)


def with_alpha():
    alpha = np.arange(PICTURE[..., 0].size, dtype=np.uint32).reshape(60, 80) % 256
    return Image.fromarray(np.dstack([PICTURE, alpha.astype(np.uint8)]))


FORMATS = {
    "jpeg": encode(RGB, "JPEG"),
    "progressive": encode(RGB, "JPEG", progressive=True),
    "greyscale": encode(RGB.convert("L"), "JPEG"),
    "png": encode(RGB, "PNG"),
    "rgba": encode(with_alpha(), "PNG"),
    "grey with alpha": encode(RGB.convert("LA"), "PNG"),
    "palette": encode(RGB.convert("P"), "PNG"),
    "transparent palette": encode(RGB.convert("P"), "PNG", transparency=3),
    "exif": rotated(),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_decode_as_pillow_does_without_looking_at_exif(name):
    expected = np.asarray(Image.open(io.BytesIO(FORMATS[name])).convert("RGB"))
    found = decode.decode(FORMATS[name])
    assert found.shape == (60, 80, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("image", [RGB, with_alpha()], ids=["rgb", "alpha"])
def test_a_tiff_is_neither_turned_nor_multiplied_by_alpha(image, big):
    encoded = encode(image, "TIFF", tiffinfo={274: 6}, big_tiff=big)
    np.testing.assert_array_equal(decode.decode(encoded), PICTURE)
    for cut in range(0, 300, 7):
        decode.decode(encoded[:cut])


def test_cmyk_is_the_picture_again():
    found = decode.decode(encode(RGB.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(found.astype(int) - PICTURE).max() < 8  # inverted would be ~255


@pytest.mark.parametrize(
    "encoded",
    [b"", b"no picture", FORMATS["jpeg"][:-2], FORMATS["jpeg"][:500], b"\xff\xd8\xff"]
    + [b"II+\0\x08\0\0\0" + b"\xff" * 20],  # a place that no memory has
)
def test_what_cannot_be_decoded_is_none(encoded):
    assert decode.decode(encoded) is None


def bilinear(picture, height, width):
    """Float64 bilinear resize with half-pixel centres and repeated borders."""
    picture = picture.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        old = picture.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.minimum(at.astype(int), old - 2)
        share = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        below, above = picture.take(low, axis), picture.take(low + 1, axis)
        picture = below * (1 - share) + above * share
    return picture


@pytest.mark.parametrize(("height", "width"), [(60, 80), (90, 40), (33, 33)])
def test_evaluation_view_is_the_centre_of_the_resized_picture(height, width):
    picture = make_picture(1, height, width)
    view = np.zeros((28, 28, 3), np.uint8)
    crops.write_views(picture, 1, 32, view)
    if height < width:
        expected = bilinear(picture, 32, round(width * 32 / height))
    else:
        expected = bilinear(picture, round(height * 32 / width), 32)
    top, left = (expected.shape[0] - 28) // 2, (expected.shape[1] - 28) // 2
    expected = expected[top : top + 28, left : left + 28]
    assert np.abs(view - expected).max() < 1.5


def test_evaluation_of_a_picture_that_has_the_size_keeps_its_pixels():
    view = np.zeros((60, 60, 3), np.uint8)
    crops.write_views(PICTURE, 1, 60, view)
    np.testing.assert_array_equal(view, PICTURE[:, 10:70])


def draw_views(flip, count=40):
    """Returns each seed's view and the resized crop it should be made from."""
    for seed in range(count):
        view = np.zeros((32, 32, 3), np.uint8)
        rng = np.random.default_rng(seed)
        decode.training_view(PICTURE, rng, AREA, ASPECT, flip, view)
        rng = np.random.default_rng(seed)
        rng.random()
        top, left, height, width = decode.random_crop_box(rng, 60, 80, AREA, ASPECT)
        crop = PICTURE[top : top + height, left : left + width]
        yield view.astype(float), bilinear(crop, 32, 32)


def test_training_view_is_the_drawn_crop_mirrored_half_the_time():
    mirrored = 0
    for view, expected in draw_views(flip=True):
        straight, turned = (
            np.abs(view - x).max() for x in (expected, expected[:, ::-1])
        )
        assert min(straight, turned) < 1.5
        mirrored += turned < straight
    assert 10 < mirrored < 30


def test_without_flip_nothing_is_mirrored():
    for view, expected in draw_views(flip=False):
        assert np.abs(view - expected).max() < 1.5


def test_crop_boxes_lie_inside_and_have_the_stated_distribution():
    rng = np.random.default_rng(0)
    boxes = [decode.random_crop_box(rng, 400, 500, AREA, ASPECT) for _ in range(4_000)]
    top, left, height, width = np.array(boxes).T
    assert (top >= 0).all() and (top + height <= 400).all()
    assert (left >= 0).all() and (left + width <= 500).all()
    shares, ratios = height * width / 2e5, width / height
    assert shares.min() > 0.075 and shares.max() > 0.9
    small = shares[shares < 0.5]  # all of these fit, so they stay uniform
    np.testing.assert_allclose(np.quantile(small, 0.5), 0.29, atol=0.02)
    assert ratios.min() > 0.74 and ratios.max() < 1.36
    wide = np.mean(ratios[shares < 0.5] > 1)
    assert abs(wide - 0.5) < 0.04  # log-uniform: wide as often as tall
    assert len(set(boxes)) > 3_900


@pytest.mark.parametrize(("height", "width"), [(10, 1_000), (1_000, 10), (1, 1)])
def test_a_picture_that_no_draw_fits_gives_its_centre(height, width):
    rng = np.random.default_rng(0)
    box = decode.random_crop_box(rng, height, width, (1.0, 1.0), ASPECT)
    top, left, crop_height, crop_width = box
    assert 3 / 4 - 0.1 <= crop_width / crop_height <= 4 / 3 + 0.1
    assert min(crop_height, crop_width) >= min(height, width)
    assert abs((height - crop_height) / 2 - top) < 1
    assert abs((width - crop_width) / 2 - left) < 1


def test_opencv_mirrors_in_place():
    """training_view relies on it."""
    for width in (1, 2, 33, 224):
        picture = make_picture(2, 7, width)
        mirrored = picture.copy()
        cv2.flip(mirrored, 1, dst=mirrored)
        np.testing.assert_array_equal(mirrored, picture[:, ::-1])


def test_of_a_long_picture_only_what_is_shown_is_resized():
    """As the whole would be, to rounding; 1 x 30,000 pixels took 6 GB."""
    for height, width in [(40, 300), (300, 40), (7, 90), (1, 50)]:
        picture = make_picture(5, height, width)
        view = np.zeros((28, 28, 3), np.uint8)
        crops.write_views(picture, 1, 32, view)
        shape = decode.resized_shape(height, width, 32)
        whole = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_LINEAR)
        top, left = (shape[0] - 28) // 2, (shape[1] - 28) // 2
        expected = whole[top : top + 28, left : left + 28].astype(int)
        assert np.abs(view - expected).max() <= 1
    start = time.process_time()
    view = np.zeros((224, 224, 3), np.uint8)
    for picture in (np.zeros((1, 30_000, 3)), np.zeros((30_000, 1, 3))):
        crops.write_views(picture.astype(np.uint8) + 9, 1, 256, view)
        assert (view == 9).all()
    assert time.process_time() - start < 2


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_giant_is_not_begun(form, monkeypatch):
    small = encode(RGB, form)
    assert picture_header.pixels(small) == 60 * 80
    assert decode.decode(small, 60 * 80) is not None

    def decoded(*arguments):
        raise AssertionError("begun")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    assert decode.decode(small, 60 * 80 - 1) is None
    why = decode.problem({"jpeg": small}, 60 * 80 - 1)
    assert why == "4,800 pixels, more than data.max_pixels=4,799"


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + bytes(60_000)}),
        ("JPEG", {"comment": b"\xff\xc0" * 99}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0II*\0" + bytes(99)}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("PNG", {"interlace": 1}),
        ("AVIF", {}),
        ("JPEG2000", {}),
    ],
)
def test_the_size_is_read_from_every_kind_of_header(form, options):
    encoded = encode(RGB, form, **options)
    assert picture_header.pixels(encoded) == 60 * 80
    assert picture_header.is_picture(encoded[: picture_header.LENGTH])
    for cut in (0, 3, 12, 20, 30):
        assert picture_header.pixels(encoded[:cut]) <= 60 * 80
