"""The examples run as they are, and are as short as they claim."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("from_python")
TRAIN = ("own_data_set", "own_model", "train")
SLOW = (*TRAIN, "batch_norm_in_nnx")
EXAMPLES = [
    pytest.param(path.stem, marks=pytest.mark.slow if path.stem in SLOW else ())
    for path in sorted(FOLDER.glob("*.py"))
]
PRINTED = {
    "batch_norm_in_linen": "(64, 10)",
    "batch_norm_in_nnx": "(64, 10)",
    "own_data_set": "finished",
    "own_model": "finished",
    "read_a_run": "95.36% at step 50,000",
    "train": "finished {0: ",
    "trained_network": "accuracy 94.9%",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_is_short(name, tmp_path):
    path = FOLDER / f"{name}.py"
    assert len(path.read_text().splitlines()) < 30
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parents[1])}
    done = subprocess.run(
        [sys.executable, path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert PRINTED[name] in done.stdout
    if name in TRAIN:  # and is drawn as others are
        report = [sys.executable, FOLDER.parents[1] / "scripts" / "report.py"]
        drawn = subprocess.run(
            [*report, "--workdir", tmp_path / "runs" / name],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert drawn.returncode == 0, drawn.stderr
        assert (tmp_path / "runs" / name / "report.html").exists()
