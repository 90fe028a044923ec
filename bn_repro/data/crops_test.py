"""Holds the views to GoogLeNet's description and the host's code to the geometry."""

import collections
import contextlib

import cv2
import jax
import numpy as np
import pytest

from bn_repro.data import crops, decode, stream
from bn_repro.data.conftest import make_picture
from bn_repro.data.image_folder import open_source
from bn_repro.data.pieces_test import Spoiled
from bn_repro.data.stream_test import VAL, assert_same, joined
from bn_repro.errors import UserError

# Landscape, portrait, square, tiny, a line, extreme both ways; height, width.
SIZES = [(375, 500), (500, 333), (256, 256), (7, 9), (1, 1), (20, 900), (900, 20)]


def views_of(size, count=144, image_size=224, resize=256):
    return crops.geometry(*size, count, image_size, resize)


def expected_views(height, width):
    """Counts the views' (top, left, side, shorter side, mirrored), from the paper."""
    found = []
    for shorter in (256, 288, 320, 352):
        longer = shorter * max(height, width) / min(height, width)
        longer = max(shorter, int(longer + 0.5))
        for square in (0, (longer - shorter) // 2, longer - shorter):
            room = shorter - 224
            places = [(0, 0), (0, room), (room, 0), (room, room)]
            places += [(room // 2, room // 2), None]
            for place in places:
                down, right = place or (0, 0)
                side = 224 if place else shorter
                top, left = (down + square, right), (down, right + square)
                along = left if width > height else top
                found += [(*along, side, shorter, mirror) for mirror in (False, True)]
    return collections.Counter(found)


@pytest.mark.parametrize("size", SIZES)
def test_144_views_are_scales_squares_places_and_mirrors(size):
    views = views_of(size)
    assert len(views) == 4 * 3 * 6 * 2 == 144
    found = [(v.top, v.left, v.side, min(v.height, v.width), v.mirrored) for v in views]
    assert collections.Counter(found) == expected_views(*size)
    for view in views:
        assert 0 <= view.top <= view.height - view.side
        assert 0 <= view.left <= view.width - view.side
        ratio = view.width / view.height * size[0] / size[1]
        assert abs(ratio - 1) < 0.01  # nothing is stretched


def test_coordinates_by_hand():
    found = [tuple(view) for view in views_of((300, 450))[:18]]  # 256 x 384
    corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    expected = []
    for left in (0, 64, 128):
        expected += [(256, 384, y, left + x, 224, False) for y, x in corners]
        expected.append((256, 384, 0, left, 256, False))
    assert found == expected
    portrait = [(v.left, v.top, *v[4:]) for v in views_of((450, 300))]
    landscape = [(v.top, v.left, *v[4:]) for v in views_of((300, 450))]
    assert collections.Counter(portrait) == collections.Counter(landscape)


def test_all_squares_of_a_square_picture_are_itself():
    views = views_of((100, 100))
    assert len(set(views)) == 144 / 3
    assert set(collections.Counter(views).values()) == {3}


@pytest.mark.parametrize("count", [1, 10, 144])
@pytest.mark.parametrize("size", SIZES)
def test_the_second_half_mirrors_the_first(count, size):
    views = views_of(size, count)
    host = views[: crops.on_host(count)]
    assert len(views) == count and not any(view.mirrored for view in host)
    assert views[len(host) :] == [v._replace(mirrored=True) for v in host][: count - 1]


@pytest.mark.parametrize("size", SIZES)
def test_10_views_are_corners_and_centre_of_the_centre_square(size):
    views = views_of(size, 10)
    assert set(views) <= set(views_of(size, 144))
    assert len(set(views)) == 10
    middle = (max(views[0][:2]) - 256) // 2
    offset = np.array([0, middle] if size[1] > size[0] else [middle, 0])
    places = sorted(tuple(np.array(v[2:4]) - offset) for v in views[:5])
    assert places == [(0, 0), (0, 32), (16, 16), (32, 0), (32, 32)]
    assert {v.side for v in views} == {224} and {min(v[:2]) for v in views} == {256}


def test_scales_are_in_proportion_to_the_input():
    assert crops.scales(224) == [256, 288, 320, 352]
    assert crops.scales(64) == [73, 82, 91, 101]
    for image_size in range(1, 500):
        assert min(crops.scales(image_size)) >= image_size


@pytest.mark.parametrize("count", [10, 144])
@pytest.mark.parametrize("size", [(60, 90), (70, 41), (50, 50), (3, 40), (1, 1)])
def test_views_are_what_the_geometry_says(count, size):
    picture = make_picture(4, *size)
    found = np.empty((crops.on_host(count), 32, 32, 3), np.uint8)
    crops.write_views(picture, count, 36, found)
    found = np.asarray(jax.jit(crops.with_mirrored, static_argnums=1)(found, count))
    assert found.dtype == np.uint8
    views = crops.geometry(*size, count, 32, 36)
    for view, image in zip(views, found, strict=True):
        resized = cv2.resize(picture, (view.width, view.height))  # bilinear
        bottom, right = view.top + view.side, view.left + view.side
        expected = cv2.resize(resized[view.top : bottom, view.left : right], (32, 32))
        expected = expected[:, ::-1] if view.mirrored else expected
        # A long picture is resized in one step, so it is rounded once, not twice.
        long = max(size) > 4 * min(size)
        assert np.abs(image.astype(int) - expected).max() <= (2 if long else 0)


def test_other_numbers_of_crops_are_refused(imagenet_config):
    source = open_source(imagenet_config.data, "val")
    with pytest.raises(UserError, match="crops is 5; use one of 1, 10, 144"):
        stream.view_batches(imagenet_config, source, 5, 2)
    with pytest.raises(UserError, match="crops is 2; use one of"):
        crops.geometry(10, 10, 2, 224, 256)


@pytest.mark.parametrize("count", [1, 10, 144])
@pytest.mark.parametrize(
    ("batch_size", "processes", "first"), [(5, 1, 0), (4, 2, 0), (5, 1, 7), (6, 2, 3)]
)
def test_each_picture_comes_once_with_its_views(
    imagenet_config, count, batch_size, processes, first
):
    source = open_source(imagenet_config.data, "val")
    parts = [
        list(
            stream.view_batches(
                imagenet_config, source, count, batch_size, first, i, processes
            )
        )
        for i in range(processes)
    ]
    assert len({len(part) for part in parts}) == 1
    share = batch_size // processes
    assert {len(batch["index"]) for part in parts for batch in part} == {share}
    steps = [joined(step) for step in zip(*parts, strict=True)]
    seen = joined(steps)
    padding = len(seen["index"]) - (VAL - first)
    assert list(seen["index"]) == [*range(first, VAL), *[-1] * padding]
    assert 0 <= padding < batch_size
    np.testing.assert_array_equal(seen["mask"], seen["index"] >= 0)
    for i, image, label in zip(
        seen["index"], seen["image"], seen["label"], strict=True
    ):
        if i < 0:
            assert not image.any() and not label
            continue
        record = source[int(i)]
        assert label == record["label"]
        data, picture = imagenet_config.data, decode.decode(record["jpeg"])
        expected = np.empty_like(image)
        crops.write_views(picture, count, data.eval_resize, expected)
        np.testing.assert_array_equal(image, expected)


def test_one_view_is_what_eval_batches_gives(imagenet_config):
    source = open_source(imagenet_config.data, "val")
    expected = joined(list(stream.eval_batches(imagenet_config, source)))
    found = joined(list(stream.view_batches(imagenet_config, source, 1, 5)))
    found["image"] = found["image"][:, 0]
    assert_same(found, expected)


@pytest.mark.slow
def test_a_worker_changes_nothing_and_takes_few_pictures_at_once(imagenet_config):
    source = open_source(imagenet_config.data, "val")
    expected = joined(list(stream.view_batches(imagenet_config, source, 144, 5)))
    imagenet_config.data.workers = 1
    with contextlib.closing(
        stream.view_batches(imagenet_config, source, 144, 5)
    ) as batches:
        assert_same(joined(list(batches)), expected)


@pytest.mark.parametrize("first", [VAL, VAL + 3])
def test_nothing_is_left_after_the_last_picture(imagenet_config, first):
    source = open_source(imagenet_config.data, "val")
    assert not list(stream.view_batches(imagenet_config, source, 10, 4, first))


def test_a_bad_picture_is_masked_and_named(imagenet_config):
    source = Spoiled(open_source(imagenet_config.data, "val"), {2})
    batches = stream.view_batches(imagenet_config, source, 10, 5)
    seen = joined(list(batches))
    assert list(seen["index"][~seen["mask"]]) == [2, -1, -1, -1]
    assert not seen["image"][2].any()
    assert seen["label"][2] == source[2]["label"]
    assert batches.bad == {source[2]["name"]: 1}
