"""Small sets of real JPEG files for the tests of the ImageNet input."""

import cv2
import numpy as np
import pytest

from configs import imagenet

WNIDS = ("n01440764", "n01443537", "n02085620")
COUNTS = {"train": 7, "val": 4}  # pictures a class


def make_picture(seed, height=48, width=64):
    """Returns a smooth random picture, uint8 RGB [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def write_jpeg(path, picture):
    """Writes uint8 RGB [H, W, 3]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1])


@pytest.fixture(scope="session")
def image_folder_path(tmp_path_factory):
    """A folder with train/<class>/*.JPEG and val/<class>/*.JPEG, never changed."""
    root = tmp_path_factory.mktemp("image_folder")
    seed = 0
    for split, count in COUNTS.items():
        for wnid in WNIDS:
            for i in range(count):
                seed += 1
                size = (40 + 3 * i, 72 - 5 * i)
                path = root / split / wnid / f"{wnid}_{i}.JPEG"
                write_jpeg(path, make_picture(seed, *size))
    return root


@pytest.fixture
def imagenet_config(image_folder_path):
    """bn_x30's configuration with the small set's size."""
    config = imagenet.get_config("bn_x30")
    config.data.train = config.data.val = str(image_folder_path)
    config.data.classes = len(WNIDS)
    config.data.seed = config.seed
    config.data.image_size, config.data.eval_resize = 32, 36
    config.data.workers = 0
    config.batch_size, config.eval.batch_size = 6, 5
    return config
