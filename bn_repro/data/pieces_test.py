"""How batches are cut, and what happens to pictures that cannot be decoded."""

import numpy as np
import pytest

from bn_repro.data import decode, pieces, stream
from bn_repro.data.image_folder import open_source
from bn_repro.data.stream_test import TRAIN, assert_same, take, train
from bn_repro.errors import UserError


@pytest.mark.parametrize("share", [1, 63, 64, 65, 127, 128, 1_000])
def test_pieces_cut_a_batch_evenly(share):
    cut = pieces.Pieces(3 * share, 1, 3)
    found = [cut.positions(i) for i in range(2 * cut.per_batch)]
    sizes = [len(piece) for piece in found]
    assert max(sizes) <= pieces.MOST and max(sizes) - min(sizes) <= 1
    second = np.arange(share) + share  # the second process of three
    expected = np.concatenate([second, second + 3 * share])
    np.testing.assert_array_equal(np.concatenate(found), expected)


class Spoiled:
    """A source in which some pictures are truncated."""

    def __init__(self, source, bad):
        self.source, self.bad = source, bad
        self.class_names = source.class_names

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i):
        record = self.source[i]
        if i in self.bad:
            record["jpeg"] = record["jpeg"][:-20]
        return record


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_bad_picture_is_replaced_at_its_position(imagenet_config, workers, caplog):
    config = imagenet_config
    whole = open_source(config.data, "train")
    expected = train(config, 7)
    spoiled = Spoiled(whole, {3, 8})
    config.data.workers = workers
    batches = stream.train_batches(config, spoiled, 0)
    found = take(batches, 7)
    changed = (found["image"] != expected["image"]).any(axis=(1, 2, 3))
    assert changed.sum() == 4  # two pictures in two epochs
    at = {whole[i]["name"]: 2 for i in (3, 8)}
    assert batches.bad == at or sum(batches.bad.values()) > 4  # a bad replacement
    assert set(batches.bad) == set(at) and batches.pictures == 42
    for name in at:
        assert sum(name in message for message in caplog.messages) == 1
    again = take(stream.train_batches(config, spoiled, 0), 7)
    assert_same(again, found)


def test_a_replacement_is_drawn_by_the_position(imagenet_config):
    config, data = imagenet_config, imagenet_config.data
    whole = open_source(data, "train")
    found = take(stream.train_batches(config, Spoiled(whole, {3}), 0), 4)
    order = stream.Order(TRAIN, data.seed, data.shuffle, data.shard_size)
    position = int(np.flatnonzero(order.epoch(0) == 3)[0])
    rng = np.random.default_rng((config.seed, position, 1))
    record = whole[int(rng.integers(TRAIN))]
    view = np.empty((32, 32, 3), np.uint8)
    picture = decode.decode(record["jpeg"])
    decode.training_view(picture, rng, (0.08, 1), (3 / 4, 4 / 3), True, view)
    np.testing.assert_array_equal(found["image"][position], view)
    assert found["label"][position] == record["label"]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_too_many_bad_pictures_stop_with_their_names(imagenet_config, workers):
    config = imagenet_config
    config.data.workers = workers
    source = Spoiled(open_source(config.data, "train"), set(range(0, TRAIN, 4)))
    batches = stream.train_batches(config, source, 0)
    names = {source[i]["name"] for i in range(0, TRAIN, 4)}
    with pytest.raises(UserError, match="data.max_bad_fraction=0.001") as caught:
        for _ in range(20):
            next(batches)
    assert sum(batches.bad.values()) == 11  # more than 0.001 of the first 10,000
    assert set(batches.bad) <= names
    assert all(name in str(caught.value) for name in batches.bad)


def test_no_bad_picture_is_allowed_at_zero(imagenet_config):
    imagenet_config.data.max_bad_fraction = 0.0
    source = Spoiled(open_source(imagenet_config.data, "train"), {5})
    batches = stream.train_batches(imagenet_config, source, 0)
    with pytest.raises(UserError, match=source[5]["name"]):
        for _ in range(5):
            next(batches)


def test_a_set_without_a_good_picture_ends(imagenet_config):
    source = Spoiled(open_source(imagenet_config.data, "train"), set(range(TRAIN)))
    with pytest.raises(UserError, match="pictures in a row cannot be decoded"):
        next(stream.train_batches(imagenet_config, source, 0))


def test_names_with_line_ends_stay_in_one_line():
    assert pieces.listed({"a/b\nc.jpg": "empty"}) == r"'a/b\nc.jpg' (empty)"
    assert pieces.listed({"a/b c.jpg": "empty"}) == "a/b c.jpg (empty)"
