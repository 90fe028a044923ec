"""Saved probabilities become tables of their mean."""

import json
import subprocess
import sys

import numpy as np

from bn_repro import cli
from bn_repro.run_folder import checkpoint


def save(path, probabilities, member):
    about = {"member": member, "split": "val", "crops": 1, "statistics": "ema"}
    arrays = {"probabilities": np.float32(probabilities), "labels": np.zeros(3, int)}
    arrays |= {"mask": np.array([True, True, False])}
    checkpoint.write(path, arrays | {"about": np.array(json.dumps(about))})


def run(*arguments):
    command = [sys.executable, str(cli.ROOT / "scripts" / "mistakes.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_several_files_are_an_ensemble(tmp_path):
    for name, first in (("one", [0.4, 0.6, 0.0]), ("two", [0.4, 0.0, 0.6])):
        save(tmp_path / name, [first, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], name)
    files = f"--probabilities={tmp_path / 'one'},{tmp_path / 'two'}"
    result = run(files, f"--out={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    title = "one, two: 1 of 2 pictures right; 1 could not be decoded"
    assert title in result.stdout
    text = (tmp_path / "out" / "mistakes.md").read_text()
    assert "| class 0 | class 1 | 1 | 2 | 50.0 % | 0 |" in text
    assert "| 1 | class 0 | class 1 | 100.0 % | 0.0 % |" in text
    result = run("--probabilities=,", f"--out={tmp_path}")
    assert result.returncode == 2
    assert result.stderr.strip() == "error: --probabilities names no file"
