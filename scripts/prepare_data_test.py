import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("prepare_data.py")
OFFICIAL_NPZ = Path(__file__).parents[1] / "../shared/data/mnist.npz"


def prepare_data(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not OFFICIAL_NPZ.exists(), reason="no official mnist.npz here")
def test_mnist_says_what_it_wrote(tmp_path):
    out = tmp_path / "packed.npz"
    done = prepare_data("mnist", "--source", OFFICIAL_NPZ, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {out}, {out.stat().st_size:,} bytes\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("mnist", "--source", "nowhere"),
        ("imagenet", "--train", "nowhere", "--out", "OUT"),
        ("imagenet", "--val", "nowhere", "--out", "OUT"),
    ],
)
def test_what_is_missing_ends_in_one_line(arguments, tmp_path):
    done = prepare_data(*(tmp_path if word == "OUT" else word for word in arguments))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_help_names_the_data_sets():
    done = prepare_data("--help")
    assert "mnist" in done.stdout and "imagenet" in done.stdout
