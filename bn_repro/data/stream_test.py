import gc
import pathlib
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import psutil
import pytest

from bn_repro.data import crops, decode, pieces, stream
from bn_repro.data.conftest import COUNTS
from bn_repro.data.image_folder import open_source
from bn_repro.errors import UserError

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"
TRAIN = 3 * COUNTS["train"]  # pictures
VAL = 3 * COUNTS["val"]


def take(batches, count):
    """Returns count batches joined, and closes the stream."""
    found = [next(batches) for _ in range(count)]
    batches.close()
    return joined(found)


def joined(batches):
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def train(config, count, start=0, **process):
    source = open_source(config.data, "train")
    return take(stream.train_batches(config, source, start, **process), count)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


def test_a_batch_has_the_shapes_and_types_of_the_contract(imagenet_config):
    batch = train(imagenet_config, 1)
    assert {key: (x.shape, x.dtype.name) for key, x in batch.items()} == {
        "image": ((6, 32, 32, 3), "uint8"),
        "label": ((6,), "int32"),
        "position": ((6,), "int64"),
    }


def test_the_stream_visits_every_picture_once_an_epoch(imagenet_config):
    batches = train(imagenet_config, 7)  # 42 places: two epochs of 21
    np.testing.assert_array_equal(batches["position"], np.arange(2 * TRAIN))
    for epoch in (slice(TRAIN), slice(TRAIN, None)):
        np.testing.assert_array_equal(np.bincount(batches["label"][epoch]), 7)


def test_images_are_views_of_the_ordered_examples(imagenet_config):
    """Replays the stream from its definition: order, then the position's generator."""
    data = imagenet_config.data
    batches = train(imagenet_config, 4)
    source = open_source(data, "train")
    order = stream.Order(TRAIN, data.seed, data.shuffle, data.shard_size)
    for position in (0, 5, 6, 20, 21, 23):
        example = order.epoch(position // TRAIN)[position % TRAIN]
        record = source[example]
        assert batches["label"][position] == record["label"]
        view = np.empty((32, 32, 3), np.uint8)
        rng = np.random.default_rng((imagenet_config.seed, position, 0))
        picture = decode.decode(record["jpeg"])
        decode.training_view(picture, rng, (0.08, 1), (3 / 4, 4 / 3), True, view)
        np.testing.assert_array_equal(batches["image"][position], view)


def test_workers_change_nothing(imagenet_config):
    expected = train(imagenet_config, 7)
    imagenet_config.data.workers = 2
    assert_same(train(imagenet_config, 7), expected)


def test_two_hosts_see_the_halves_of_each_batch(imagenet_config):
    expected = train(imagenet_config, 5)
    halves = [
        train(imagenet_config, 5, process_index=i, process_count=2) for i in (0, 1)
    ]
    for key, whole in expected.items():
        split = whole.reshape(5, 2, 3, *whole.shape[1:])
        for i in (0, 1):
            np.testing.assert_array_equal(
                halves[i][key].reshape(split[:, i].shape), split[:, i]
            )


def test_a_resume_goes_on_in_the_same_stream(imagenet_config):
    expected = train(imagenet_config, 6)
    assert_same(
        joined([train(imagenet_config, 4), train(imagenet_config, 2, start=4)]),
        expected,
    )


def test_seeds_change_order_and_pixels_separately(imagenet_config):
    expected = train(imagenet_config, 2)
    imagenet_config.seed += 1
    other_crops = train(imagenet_config, 2)
    np.testing.assert_array_equal(other_crops["label"], expected["label"])
    assert (other_crops["image"] != expected["image"]).any(axis=(1, 2, 3)).all()
    imagenet_config.data.seed += 1
    assert (train(imagenet_config, 2)["label"] != expected["label"]).any()


def test_epochs_differ_in_pixels(imagenet_config):
    imagenet_config.data.shuffle = "shard"
    imagenet_config.data.shard_size = TRAIN  # one shard: every epoch in the same order
    batches = train(imagenet_config, 7)
    first, second = batches["label"][:TRAIN], batches["label"][TRAIN:]
    np.testing.assert_array_equal(first, second)
    changed = batches["image"][:TRAIN] != batches["image"][TRAIN:]
    assert changed.any(axis=(1, 2, 3)).all()


def test_large_batches_are_decoded_in_pieces(imagenet_config):
    expected = train(imagenet_config, 50)  # 300 examples
    imagenet_config.batch_size = 150
    assert pieces.Pieces(150, 0, 1).per_batch == 3
    assert_same(train(imagenet_config, 2), expected)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_sees_every_picture_once(imagenet_config, batch_size, processes):
    imagenet_config.eval.batch_size = batch_size * processes
    source = open_source(imagenet_config.data, "val")
    streams = [
        list(stream.eval_batches(imagenet_config, source, i, processes))
        for i in range(processes)
    ]
    assert len({len(batches) for batches in streams}) == 1
    seen = joined([batch for batches in streams for batch in batches])
    assert all(len(b["mask"]) == batch_size for batches in streams for b in batches)
    np.testing.assert_array_equal(np.sort(seen["index"][seen["mask"]]), np.arange(VAL))
    np.testing.assert_array_equal(seen["mask"], seen["index"] >= 0)
    for i, image, label in zip(
        seen["index"], seen["image"], seen["label"], strict=True
    ):
        view = np.zeros((32, 32, 3), np.uint8)
        if i >= 0:
            crops.write_views(decode.decode(source[i]["jpeg"]), 1, 36, view)
            assert label == source[i]["label"]
        np.testing.assert_array_equal(image, view)


def test_what_does_not_fit_is_refused(imagenet_config):
    source = open_source(imagenet_config.data, "val")
    with pytest.raises(UserError, match="batch of 6 cannot be shared by 4 processes"):
        stream.train_batches(imagenet_config, source, 0, 0, 4)
    with pytest.raises(UserError, match="batch of 5 cannot be shared by 2 processes"):
        stream.eval_batches(imagenet_config, source, 0, 2)
    imagenet_config.data.eval_resize = 31
    with pytest.raises(UserError, match="data.eval_resize is 31"):
        stream.eval_batches(imagenet_config, source)


def until(done, seconds=20):
    """Returns whether done() came true in time."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)
    return done()


def test_a_dropped_stream_leaves_no_thread(imagenet_config):
    before = threading.active_count()
    source = open_source(imagenet_config.data, "train")
    next(stream.train_batches(imagenet_config, source, 0))  # dropped, not closed
    assert until(lambda: threading.active_count() <= before)
    assert cv2.getNumThreads() == 1


@pytest.mark.slow
def test_an_ended_evaluation_leaves_no_descriptor(imagenet_config):
    imagenet_config.data.workers = 1
    source = open_source(imagenet_config.data, "val")
    counts = []
    gc.disable()  # Python collects when it likes
    try:
        for _ in range(2):
            assert list(stream.eval_batches(imagenet_config, source))
            counts.append(psutil.Process().num_fds())
    finally:
        gc.enable()
    assert counts[1] <= counts[0]


PROGRAM = """
import os, signal, sys, time
import psutil
from bn_repro import config_files
from bn_repro.data import stream
from bn_repro.data.image_folder import open_source


def main(path):
    config = config_files.load("imagenet.py:bn_x30")
    config.data.train, config.data.classes, config.data.seed = path, 3, 0
    config.data.workers, config.batch_size, config.data.image_size = 1, 4, 224
    batches = stream.train_batches(config, open_source(config.data, "train"), 0)
    held = [next(batches) for _ in range(2)]
    workers = psutil.Process().children(recursive=True)
    print(*[worker.pid for worker in workers], flush=True)
    signal.signal(signal.SIGTERM, lambda *_: None)
    time.sleep(0.5)  # the worker has set its handlers before it decoded
    os.killpg(0, signal.SIGTERM)
    held += [next(batches) for _ in range(5)]
    print(max(worker.memory_info().rss for worker in workers), flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    global keep
    keep = batches, held


if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exits", "killed"])
def test_workers_live_as_long_as_their_process(image_folder_path, tmp_path, end):
    """They survive a SIGTERM to the group, and end with an exit or a kill -9."""
    (tmp_path / "program.py").write_text(PROGRAM)
    result = subprocess.run(
        [sys.executable, "program.py", str(image_folder_path), end],
        cwd=tmp_path,
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == (0 if end == "exits" else -9), result.stderr
    if end == "exits":
        assert not result.stderr
    pids, memory = result.stdout.splitlines()
    assert until(lambda: not any(psutil.pid_exists(int(p)) for p in pids.split()))
    assert int(memory) < 500e6
