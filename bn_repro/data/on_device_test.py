"""Views cut on the device are the stream's: its rectangles, its pixels within one."""

from functools import partial

import jax
import numpy as np
import pytest

from bn_repro import data
from bn_repro.data import on_device, stream
from bn_repro.data.conftest import make_picture
from bn_repro.data.order import Order
from bn_repro.data.pieces_test import Spoiled
from bn_repro.errors import UserError


@pytest.fixture
def source(imagenet_config):
    return data.open_source(imagenet_config.data, "train")


def quiet(line):
    del line


@pytest.mark.parametrize("area", [(0.35, 1.0), (0.02, 0.05), (1.0, 1.0)])
@pytest.mark.parametrize("damaged", [False, True])
def test_views_are_the_stream_s(imagenet_config, source, area, damaged):
    config = imagenet_config
    config.data.crop_area = area
    if damaged:
        source = Spoiled(source, {3, 8})
    kept = on_device.load(source, config.data, quiet)
    keys = config.data
    order = Order(len(source), keys.seed, keys.shuffle, keys.shard_size)
    pick = jax.jit(partial(on_device.pick, size=keys.image_size))
    batches = stream.train_batches(config, source, 2)
    for step in range(2, 7):  # into the next epoch
        batch = next(batches)
        positions = batch["position"]
        examples = order.examples_at(positions)
        places = np.array(
            [
                on_device.place(kept.sizes, int(e), int(p), config)
                for e, p in zip(examples, positions, strict=True)
            ],
            np.int32,
        )
        images, labels = pick(kept[:2], places)
        assert positions[0] == step * config.batch_size
        np.testing.assert_array_equal(labels, batch["label"])
        apart = np.abs(np.asarray(images, int) - batch["image"])
        assert apart.max() <= 1 and apart.mean() < 0.25
    batches.close()


def test_pictures_that_do_not_fit_are_refused_in_one_line(imagenet_config, source):
    with pytest.raises(UserError, match=r"data.on_device: 21 pictures .* GB"):
        on_device.load(source, imagenet_config.data, quiet, room=100)


def test_too_many_bad_pictures_are_refused(imagenet_config, source):
    imagenet_config.data.max_bad_fraction = 0.0
    with pytest.raises(UserError, match="2 of 21 pictures cannot be decoded"):
        on_device.load(Spoiled(source, {3, 8}), imagenet_config.data, quiet)


def test_smaller_pictures_lie_in_the_corner_of_their_place(imagenet_config, source):
    said = []
    kept = on_device.load(source, imagenet_config.data, said.append)
    height, width = kept.sizes[1]
    assert kept.images.shape[1:3] == tuple(kept.sizes.max(0))
    assert not kept.images[1, height:].any() and not kept.images[1, :, width:].any()
    assert kept.images[1, :height, :width].any()
    assert said == ["decoded 21 of 21 pictures, kept on devices"]


def test_every_pixel_is_one_of_opencv_s_at_any_scale():
    import cv2

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (50, 70, 3), np.uint8)
    for picture in (noise, make_picture(0, 50, 70)):
        for height, width in ((1, 1), (1, 70), (50, 3), (32, 32), (7, 64), (50, 70)):
            top, left = rng.integers(0, (51 - height, 71 - width))
            crop = picture[top : top + height, left : left + width]
            wanted = cv2.resize(crop, (32, 32), interpolation=cv2.INTER_LINEAR)
            for mirrored in (0, 1):
                place = np.array([[0, top, left, height, width, mirrored]], np.int32)
                arrays = picture[None], np.zeros(1, np.int32)
                (found,), _ = on_device.pick(arrays, place, size=32)
                expected = wanted[:, ::-1] if mirrored else wanted
                assert np.abs(np.asarray(found, int) - expected).max() <= 1
