"""What an evaluation found, and the file that says so: evaluation_*.json."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bn_repro.inference import predict
from bn_repro.run_folder import files

# in what is of one evaluation
SAME = ("members", "weights", "pictures", "count", "eval_resize")


def of(abouts: list[dict], found: list[predict.Predictions]) -> dict:
    """Returns a result; its seconds are NaN if those of any member are not known."""
    # What is each member's own; older files hold names.
    own = ("member", "steps", "seconds", "weights", "class_names")
    every = [about.items() for about in reversed(abouts)]  # the first decides
    shared = {k: v for about in every for k, v in about if k not in own}
    row = {
        "members": [about["member"] for about in abouts],
        "steps": [about["steps"] for about in abouts],
        "weights": [about.get("weights") for about in abouts],  # digests
    }
    row |= shared | {"bn": any(about.get("bn", True) for about in abouts)}
    row |= _errors(found)
    seconds = [about.get("seconds", np.nan) for about in abouts]
    return row | {"seconds": float(np.round(np.sum(seconds), 1))}


def _errors(found) -> dict:
    scored = predict.score(found)
    return {
        "count": scored["count"],
        "undecodable": len(found[0].labels) - scored["count"],  # by any member
        "top1_error": 1 - scored["accuracy"],
        "top5_error": 1 - scored["top5"],
        "loss": scored["loss"],
    }


def make_folder(out) -> Path:
    """Returns a folder for results, made if it is not there; before the long work.

    Raises:
      UserError: it cannot be written.
    """
    out = Path(out)
    with files.naming(out, "write"):
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK | os.X_OK):
            raise PermissionError("no permission; name another folder with --out")
    return out


def write(row: dict, out, say=print) -> Path:
    """Writes a result as evaluation_*.json into a folder, returns and says which.

    It takes the place of an earlier result that agrees in SAME, of no other: those from
    before these were recorded stay.
    """
    name = f"evaluation_{row['split']}_{row['statistics']}_{row['crops']}crops"
    number = len(row["members"])
    stem = f"{name}_{number}member{'s' if number > 1 else ''}"

    def same(file: Path) -> bool:
        there = files.read_json(file)
        return all(there.get(key) == row.get(key) for key in SAME)

    file = vacant(make_folder(out), stem, ".json", same)
    files.write_json(file, row)
    say(wrote(file, stem))
    return file


def wrote(file: Path, stem: str) -> str:
    """Returns the line that a file was written, and beside which others."""
    other = f"; {stem}{file.suffix} is of other weights or pictures"
    return f"wrote {file}{other if file.stem != stem else ''}"


def vacant(out: Path, stem: str, suffix: str, same: Callable[[Path], bool]) -> Path:
    """Returns the first of stem, stem_2, ... that is not there, or that is `same`."""
    more = (f"{stem}_{n}" for n in itertools.count(2))
    named = (out / f"{name}{suffix}" for name in itertools.chain([stem], more))
    return next(file for file in named if not file.exists() or same(file))
