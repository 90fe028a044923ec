"""Decoding workers: signals while they start, one that is killed, odd pictures."""

import io
import re
import shutil
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

from bn_repro.data import stream
from bn_repro.data.conftest import make_picture
from bn_repro.data.image_folder import open_source
from bn_repro.data.stream_test import joined
from bn_repro.data.workers import explained
from bn_repro.errors import UserError


class Large:
    """A source too large for the pipe through which a worker gets what it needs."""

    def __init__(self, source):
        self.source, self.more = source, np.random.default_rng(0).bytes(400_000)

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i):
        return self.source[i]


def workers():
    children = psutil.Process().children()
    return [c for c in children if "spawn_main" in " ".join(c.cmdline())]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while it starts", "at work"])
def test_a_killed_worker_ends_the_stream_in_one_line(imagenet_config, moment):
    """One that was killed before it had read its source was waited for for ever."""
    imagenet_config.data.workers = 2
    source = Large(open_source(imagenet_config.data, "train"))

    def kill():
        while not workers():
            time.sleep(1e-3)
        workers()[0].kill()

    killer = threading.Thread(target=kill)
    if moment == "while it starts":
        killer.start()
    batches = stream.train_batches(imagenet_config, source, 0)
    if moment == "at work":
        next(batches)
        killer.start()
    with pytest.raises(
        UserError, match="worker was killed .* memory .*workers"
    ) as line:
        for _ in range(1_000):
            next(batches)
    assert "\n" not in str(line.value)
    killer.join()
    assert not list(batches)
    assert not workers()


@pytest.mark.parametrize(
    ("code", "said"), [(-7, "/dev/shm.*shm-size.*workers=0"), (-9, "memory ran out")]
)
def test_a_full_shared_memory_is_told_from_a_full_memory(code, said):
    error = RuntimeError(f"Process 0 terminated unexpectedly with exit code {code}")
    line = explained(error)
    assert isinstance(line, UserError)
    assert re.search(f"^a decoding worker was killed.*{said}", str(line))


PROGRAM = """
import os, signal, sys, threading, time
from bn_repro import config_files
from bn_repro.data import stream
from bn_repro.data.image_folder import open_source

def main(path):
    config = config_files.load("imagenet.py:bn_x30")
    config.data.train, config.data.classes, config.data.seed = path, 3, 0
    config.data.workers, config.batch_size, config.data.image_size = 2, 4, 32
    seen = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: seen.append(number))

    def attack():
        while not done:
            os.killpg(0, signal.SIGTERM)
            os.killpg(0, signal.SIGINT)
            time.sleep(0.01)

    done = []
    thread = threading.Thread(target=attack)
    thread.start()
    batches = stream.train_batches(config, open_source(config.data, "train"), 0)
    for _ in range(6):
        next(batches)
    done.append(True)
    thread.join()
    batches.close()
    print(len(set(seen)))

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
def test_signals_to_the_group_while_workers_start(image_folder_path, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    result = subprocess.run(
        [sys.executable, "program.py", str(image_folder_path)],
        cwd=tmp_path,
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "2\n"), result.stderr


PICTURE = make_picture(7, 40, 56)


def encoded(form, image=None, **options):
    file = io.BytesIO()
    (image or Image.fromarray(PICTURE)).save(file, form, **options)
    return file.getvalue()


JPEG = encoded("JPEG")
ODD = {
    "cmyk.jpg": encoded("JPEG", Image.fromarray(PICTURE).convert("CMYK")),
    "grey.jpg": encoded("JPEG", Image.fromarray(PICTURE).convert("L")),
    "palette.gif": encoded("GIF"),
    "wide.png": cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)[1],
    "a_png.jpg": encoded("PNG"),
    "more_behind.jpg": JPEG + b"x" * 99,
    "tiff": encoded("TIFF", compression="tiff_lzw"),
    "moving.webp": encoded(
        "WEBP", save_all=True, append_images=[Image.new("RGB", (56, 40))]
    ),
}
BROKEN = {
    "cut.jpg": JPEG[: len(JPEG) // 2],
    "zeros.jpg": JPEG[:500] + bytes(len(JPEG) - 500),
    "page.jpg": b"<html>404</html>",
    "empty.jpg": b"",
    "noise.jpg": np.random.default_rng(0).bytes(2_000),
    "giant.png": cv2.imencode(".png", np.zeros((201, 500), np.uint8))[1],
}


@pytest.mark.parametrize(
    "workers",
    [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))],
)
def test_odd_pictures_are_decoded_and_broken_ones_named(
    image_folder_path, tmp_path, imagenet_config, workers
):
    root = tmp_path / "set"
    shutil.copytree(image_folder_path / "val", root)
    wnid = sorted(path.name for path in root.iterdir())[1]
    for name, content in (ODD | BROKEN).items():
        (root / wnid / name).write_bytes(bytes(content))
    (root / wnid / "gone.jpg").symlink_to("nowhere.jpg")
    data = imagenet_config.data
    data.train, data.val, data.workers = "", str(root), workers
    data.image_size = data.eval_resize = 40  # the height of the odd ones
    data.max_pixels = 100_000
    source = open_source(data, "val")
    batches = stream.eval_batches(imagenet_config, source)
    seen = joined(list(batches))
    broken = {f"{wnid}/{name}": 1 for name in [*BROKEN, "gone.jpg"]}
    assert batches.bad == broken
    assert seen["mask"].sum() == len(source) - len(broken)
    for i in np.flatnonzero(seen["mask"]):
        name = source[int(seen["index"][i])]["name"].split("/")[1]
        if name in ODD:
            whole = Image.open(io.BytesIO(bytes(ODD[name]))).convert("RGB")
            expected = np.asarray(whole)[:, 8:48].astype(int)
            assert np.abs(seen["image"][i] - expected).max() <= 2, name


def test_too_many_end_the_stream_with_their_names_and_why(imagenet_config, tmp_path):
    for wnid in "ab":
        (tmp_path / "set" / wnid).mkdir(parents=True)
        for i in range(20):
            (tmp_path / "set" / wnid / f"{i}.jpg").write_bytes(b"" if i % 2 else JPEG)
    data = imagenet_config.data
    data.train, data.val, data.classes = "", str(tmp_path / "set"), 2
    batches = stream.eval_batches(imagenet_config, open_source(data, "val"))
    with pytest.raises(UserError, match=r"a/1.jpg \(empty\), .*, b/1.jpg \(empty\)"):
        list(batches)
