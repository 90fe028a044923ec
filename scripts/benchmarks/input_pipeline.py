"""Training pictures a second of a core: ours, a bare OpenCV loop, and tf.data.

A core's rate is pictures by the processor time of this process and its workers
together, which a neighbour on the machine disturbs little; the rate by the clock, with
one worker or thread, stands beside it. The bare loop has the encoded pictures in
memory, the pipelines read files. Where TensorFlow is installed, tf.data is compared
with twice: as Flax's ImageNet example uses it (bicubic resizing, scaling in float32),
and doing what ours does (bilinear, uint8). tf.data decodes only what the crop needs,
OpenCV always the whole picture.
"""

import contextlib
import importlib.util
import os
import tarfile
import tempfile
import time

import cv2
import numpy as np
import psutil

from benchmarks import SAMPLE
from benchmarks.timing import Figure, Row, missing, ratio
from bn_repro import config_files
from bn_repro.data import augment, decode, image_folder, stream

ROUNDS, BATCHES, WARM_UP = 7, 12, 6
WORKERS = (1, 2, 4, 8, 16)
SIZE, AREA, ASPECT = 224, (0.08, 1.0), (3 / 4, 4 / 3)
TF_FLAX, TF_SAME = "tf.data as in Flax's example", "tf.data alike"


def measure(toy: bool = False):
    """Yields the ratios on full-size ImageNet pictures, and a worker's memory."""
    if not SAMPLE.exists():
        yield missing(f"Input: no {SAMPLE.name}")
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(SAMPLE) as tar:
            tar.extractall(folder, filter="data")
        yield from compare(folder, 1 if toy else ROUNDS)


def compare(folder: str, rounds: int):
    """Yields the rows for the pictures in class folders below folder."""
    config = make_config(folder)
    source = image_folder.open_source(config.data, "train")
    encoded = [source[i]["jpeg"] for i in range(len(source))]
    memory = []
    candidates = {
        "bare": lambda: timed(lambda: bare(encoded)),
        "in process": lambda: ours(config, source, 0, memory),
        "worker": lambda: ours(config, source, 1, memory),
    }
    if importlib.util.find_spec("tensorflow"):
        for name, resized in tf_resizes().items():
            load = tf_data(source, folder, config.batch_size, resized)
            candidates[name] = lambda load=load: rates_of(load.as_numpy_iterator())
    found = alternate_rates(candidates, rounds)
    yield from rows(found)
    alone = found["in process"][1]
    for count in (1,) if rounds == 1 else WORKERS:
        with_them = [ours(config, source, count, memory)[1] for _ in range(3)]
        sides = (
            Figure(f"{count} workers", with_them, "pictures/s"),
            Figure("in process", list(alone[:3]), "pictures/s"),
        )
        what = f"Input, {count} workers: pictures/s by the clock over none"
        yield ratio(what, *sides)
    largest = max(memory) / 1e6
    yield Row("Input: resident memory of a worker, MB", largest, "< 500", "error")


def rows(found):
    """Yields the ratios of {name: (rates of a core, rates by the clock)}."""
    clock = ", ".join(
        f"{name} {np.median(rates[1]):.0f}/s by the clock"
        for name, rates in found.items()
    )
    core = {k: Figure(k, list(v[0]), "pictures/s") for k, v in found.items()}
    worker, bare = core["worker"], core["bare"]
    for name in ("in process", "worker"):
        what = f"Input, {name}: pictures/s of a core over bare OpenCV's"
        yield ratio(what, core[name], bare, ">= 0.9", clock)
    if TF_FLAX not in core:
        yield missing("Input: TensorFlow is not installed")
        return
    what = "Input, worker: pictures/s of a core over tf.data's"
    yield ratio(f"{what} as in Flax's example", worker, core[TF_FLAX], ">= 1.2")
    yield ratio(f"{what}, bilinear and uint8", worker, core[TF_SAME])


def make_config(folder: str):
    """Returns bn_x30's configuration on the pictures of folder."""
    config = config_files.load("imagenet:bn_x30")
    config.data.train, config.data.seed = folder, 0
    config.data.classes = len(os.listdir(folder))
    return config


def ours(config, source, count: int, memory: list[int]) -> tuple[float, float]:
    """Returns the rates with `count` workers; appends the largest's bytes to memory."""
    config.data.workers = count
    with contextlib.closing(stream.train_batches(config, source, 0)) as batches:
        rates = rates_of(batches, count)
        memory.extend(process.memory_info().rss for process in workers())
    return rates


def alternate_rates(candidates, rounds: int) -> dict[str, np.ndarray]:
    """Returns each candidate's rates over alternated rounds, [2, rounds]."""
    rates = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            rates[name].append(run())
    return {name: np.transpose(values) for name, values in rates.items()}


def rates_of(batches, count: int = 0) -> tuple[float, float]:
    """Returns the rates of a stream of batches once its buffers are empty.

    Of `count` workers, each of which has begun and keeps two batches ready, so many
    more batches are taken that these do not decide.
    """
    take(batches, max(WARM_UP, 2 * count))
    return timed(lambda: take(batches, max(BATCHES, 6 * count)))


def take(batches, count: int) -> int:
    """Takes count batches; returns their number of pictures."""
    return sum(len(next(batches)["label"]) for _ in range(count))


def timed(run) -> tuple[float, float]:
    """Returns the pictures a second, of a core and by the clock, that run counts."""
    core, clock = processor_seconds(), time.perf_counter()
    count = run()
    clock = time.perf_counter() - clock
    return count / (processor_seconds() - core), count / clock


def processor_seconds() -> float:
    """Returns the processor time so far of this process and those it started."""
    times = [process.cpu_times() for process in (psutil.Process(), *workers())]
    return sum(t.user + t.system for t in times)


def workers() -> list[psutil.Process]:
    """Returns the processes that this one has started."""
    return psutil.Process().children(recursive=True)


def bare(encoded: list[bytes]) -> int:
    """Decodes, crops and resizes, no more; returns the number of pictures."""
    cv2.setNumThreads(0)
    rng = np.random.default_rng(0)
    for picture in encoded:
        pixels = cv2.imdecode(
            np.frombuffer(picture, np.uint8),
            cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
        )
        box = decode.random_crop_box(rng, *pixels.shape[:2], AREA, ASPECT)
        top, left, height, width = box
        crop = pixels[top : top + height, left : left + width]
        cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return len(encoded)


def tf_resizes():
    """Returns how each tf.data pipeline makes the network's input of a crop."""
    import tensorflow as tf

    def as_flax(crop):
        image = tf.image.resize([crop], [SIZE, SIZE], method="bicubic")[0]
        image = tf.image.random_flip_left_right(image)
        return (image - tf.constant(augment.MEAN)) / augment.STANDARD_DEVIATION

    def as_ours(crop):
        image = tf.image.resize(crop, [SIZE, SIZE])
        return tf.cast(tf.image.random_flip_left_right(image), tf.uint8)

    return {TF_FLAX: as_flax, TF_SAME: as_ours}


def tf_data(source, folder: str, batch_size: int, resized):
    """Returns a tf.data.Dataset of training batches, made on one thread."""
    import tensorflow as tf

    def load(path, label):
        encoded = tf.io.read_file(path)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(encoded),
            tf.zeros([1, 0, 4]),
            area_range=AREA,
            aspect_ratio_range=ASPECT,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        crop = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
        return {"image": resized(crop), "label": label}

    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    paths = [os.path.join(folder, os.fsdecode(name)) for name in source.names]
    dataset = tf.data.Dataset.from_tensor_slices((paths, source.labels))
    dataset = dataset.shuffle(len(paths), seed=0).repeat()
    dataset = dataset.map(load, num_parallel_calls=1).batch(batch_size).prefetch(2)
    return dataset.with_options(options)
