"""The script for the first hour on a GPU goes on where it was cut off, at toy size."""

import io
import os
import subprocess
import sys
import tarfile

import pytest

from bn_repro import cli
from bn_repro.data.conftest import make_picture, write_jpeg
from bn_repro.run_folder import records

SCRIPT = cli.ROOT / "scripts" / "accelerator_day.sh"
TOY = {
    "model.name": "mlp",  # on pictures: it compiles in a moment
    "model.hidden": "(8,)",
    "data.classes": 2,
    "data.workers": 0,
    "batch_size": 4,
    "reference_batch": 4,
    "bn.batch": "global",
    "probe.steps": "()",
    "probe.examples": 4,
    "probe.batch_size": 4,
    "eval.batch_size": 4,
}


@pytest.fixture
def pictures(tmp_path):
    path = tmp_path / "pictures.tar"
    with tarfile.open(path, "w") as tar:
        for first, split in ((0, "train"), (8, "val")):
            for i in range(first, first + 8):
                picture = tmp_path / "one.JPEG"
                write_jpeg(picture, make_picture(i, 64, 64))
                info = tarfile.TarInfo(f"{split}/class_{i % 2}/{i}.JPEG")
                info.size = picture.stat().st_size
                tar.addfile(info, io.BytesIO(picture.read_bytes()))
    return path


def run(*arguments, **environment):
    flags = " ".join(f"--config.{k}={v}" for k, v in TOY.items())
    given = {"PYTHON": sys.executable, "FLAGS": flags, "SEEDS": "0", "JOBS": "1"}
    return subprocess.run(
        [SCRIPT, *map(str, arguments)],
        env=os.environ | given | environment,
        capture_output=True,
        text=True,
    )


def test_without_its_arguments_it_says_what_they_are():
    result = run("one")
    assert result.returncode == 2
    assert "accelerator_day.sh PICTURES.tar RUNS OUT" in result.stdout


@pytest.mark.slow
def test_pieces_go_on_until_all_have_ended(pictures, tmp_path):
    runs, out = tmp_path / "runs", tmp_path / "out"
    first = run(pictures, runs, out, STEPS="6", SECONDS_A_PIECE="10")
    assert first.returncode, first.stdout + first.stderr
    assert "call it again to go on" in first.stdout, first.stderr
    last = run(pictures, runs, out, STEPS="6")
    assert last.returncode == 0, last.stdout + last.stderr
    found = [records.read_run(path) for path in sorted(out.iterdir())]
    assert len(found) == 7 and not list(out.glob("*/checkpoints"))
    assert {run.status["status"] for run in found} <= {"finished", "diverged"}
