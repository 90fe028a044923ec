"""Saved probabilities become tables and a sheet of the very pictures they are of."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from bn_repro import cli
from bn_repro.data import mnist
from bn_repro.run_folder import checkpoint

WNIDS = ["n01440764", "n02012849", "n03804744"]
PICTURES = 8  # of each class
COLOURS = [(30, 160, 70), (200, 40, 90), (90, 60, 180)]  # of a class's pictures, BGR


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, words, and probabilities of every second picture, two of them sure."""
    folder = tmp_path_factory.mktemp("mistakes")
    for label, wnid in enumerate(WNIDS):
        (folder / "val" / wnid).mkdir(parents=True)
        for i in range(PICTURES):
            picture = np.full((20, 30 + i, 3), COLOURS[label], np.uint8)
            cv2.imwrite(str(folder / "val" / wnid / f"{i}.png"), picture)
    words = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03804744 nail\n"
    (folder / "val" / "synset_words.txt").write_text(words)
    labels = np.repeat(np.arange(3, dtype=np.int32), 4)
    probabilities = np.full((12, 3), 0.25, np.float32)
    probabilities[np.arange(12), labels] = 0.5
    probabilities[6] = [0.9, 0.04, 0.06]  # a crane as a tench
    probabilities[1] = [0.2, 0.1, 0.7]  # a tench as a nail
    probabilities[9] = [0.97, 0.02, 0.01]  # a nail, but not decoded
    save(folder / "saved.npz", probabilities, labels, class_names=WNIDS)
    return folder


def save(path, probabilities, labels, mask=None, **fields):
    mask = np.arange(len(labels)) != 9 if mask is None else mask
    about = {"member": "bn", "split": "val", "crops": 1, "statistics": "ema"}
    about |= {"classes": probabilities.shape[1], "steps": 5, "image_size": 20} | fields
    arrays = {"probabilities": probabilities, "labels": labels, "mask": mask}
    checkpoint.write(path, arrays | {"about": np.array(json.dumps(about))})


def run(*arguments):
    command = [sys.executable, str(cli.ROOT / "scripts" / "mistakes.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_tables_name_the_pictures_that_the_sheet_shows(folder, tmp_path):
    saved, val = folder / "saved.npz", folder / "val"
    result = run(f"--probabilities={saved}", f"--val={val}", f"--out={tmp_path / 'a'}")
    assert result.returncode == 0, result.stderr
    assert "9 of 11 pictures right; 1 could not be decoded" in result.stdout
    text = (tmp_path / "a" / "mistakes.md").read_text()
    assert "| crane | tench | 1 | 4 | 25.0 % | 0 |" in text
    # Of 24 pictures the evaluated 12 are those at 1, 3, 5 ...: 6 is at 13, 1 at 3.
    assert "| 1 | crane | tench | 90 % | 4 % | n02012849/5.png |" in text
    assert "| 2 | tench | nail | 70 % | 20 % | n01440764/3.png |" in text
    assert "| nail | 100.0 % | 100.0 % | 3 | 4 | - |" in text
    sheet = cv2.imread(str(tmp_path / "a" / "mistakes.png"))
    tench, crane, nail = ((sheet == colour).all(-1).sum() for colour in COLOURS)
    assert min(tench, crane) >= 100 and nail == 0  # pixels


def test_without_pictures_there_are_tables_of_the_mean(tmp_path):
    labels = np.zeros(2, np.int32)  # right is the mean of the first alone
    for name, first in (("one", [0.4, 0.6, 0.0]), ("two", [0.4, 0.0, 0.6])):
        probabilities = np.array([first, [0.0, 1.0, 0.0]], np.float32)
        save(tmp_path / name, probabilities, labels, np.ones(2, bool), member=name)
    files = f"--probabilities={tmp_path / 'one'},{tmp_path / 'two'}"
    result = run(files, f"--out={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    assert "one, two, val, 1 view, ema: 1 of 2 pictures right" in result.stdout
    assert "--val must name the evaluated pictures" in result.stdout
    text = (tmp_path / "out" / "mistakes.md").read_text()
    assert "| class 0 | class 1 | 1 | 2 | 50.0 % | 0 |" in text  # saved without names
    assert not (tmp_path / "out" / "mistakes.png").exists()


@pytest.mark.parametrize("split", ["test", "train"])
def test_digits_are_those_of_the_split(tmp_path, split):
    digits = getattr(mnist.read_packed(), split)
    labels, names = digits.labels[:9], mnist.CLASS_NAMES
    probabilities = np.eye(10, dtype=np.float32)[labels]
    probabilities[3] = np.eye(10)[(labels[3] + 1) % 10]
    saved, options = tmp_path / "saved.npz", {"split": split, "class_names": names}
    save(saved, probabilities, labels, np.ones(9, bool), **options)
    result = run(f"--probabilities={saved}", f"--out={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert "--val" not in result.stdout
    assert f"| {split} image 3 |" in (tmp_path / "mistakes.md").read_text()
    assert (tmp_path / "mistakes.png").is_file()


def test_other_pictures_are_no_digits(tmp_path):
    labels = np.arange(9, dtype=np.int32) // 2
    probabilities = np.eye(10, dtype=np.float32)[labels]
    saved, arguments = tmp_path / "saved.npz", (probabilities, labels, labels < 9)
    save(saved, *arguments, split="test")
    result = run(f"--probabilities={saved}", f"--out={tmp_path}")
    assert result.returncode == 2
    assert result.stderr.strip() == (
        "error: the 9 pictures that were evaluated are not the first of MNIST's test "
        "digits"
    )
    save(saved, *arguments, split="train")  # of ImageNet
    result = run(f"--probabilities={saved}", f"--out={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert "--val must name the evaluated pictures" in result.stdout


def test_other_pictures_are_refused(folder, tmp_path):
    other = tmp_path / "other.npz"
    probabilities, labels = np.eye(3, dtype=np.float32), np.array([0, 0, 2])
    save(other, probabilities, labels, np.ones(3, bool))
    result = run(
        f"--probabilities={other}", f"--val={folder / 'val'}", f"--out={tmp_path}"
    )
    assert result.returncode == 2
    assert result.stderr.strip() == (
        f"error: --val={folder / 'val'} does not hold the 3 pictures that were "
        "evaluated, or not with the same names of classes beside them"
    )
    result = run("--probabilities=,", f"--out={tmp_path}")
    assert result.stderr.strip() == "error: --probabilities names no file"
