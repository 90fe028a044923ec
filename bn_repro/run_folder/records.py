"""The run folder: what a run leaves on disk, and the one way to read it.

    config.json        the resolved configuration; "stated": what resolve() translated
    classes.json       {"names": those of the classes, in the order of the labels,
                       "folders": likewise, of their folders, for ImageNet}
    manifest.json      command, revision, versions, devices, times
    status.json        {"status": one of STATUSES, "step": n, ...}
    metrics.jsonl      one object a line: step, split, statistics, loss, accuracy, ...
    activations.npz    percentiles of each nonlinearity's input over the run, and more
    hits.npz           which examples the last evaluations got right
    checkpoints/       belongs to bn_repro.run_folder.checkpoint, as does
    weights.npz        the network as the run left it

Whatever moment a run is killed at, every file is the old or the new one as a whole, but
for the last line of metrics.jsonl, which readers skip and a resume removes.
JSON has no NaN or infinity: they are written as null.

It has more than 250 lines so that one place says what a run folder holds, and reads it.
"""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder import checks, configuration, files

CONFIG = "config.json"
CLASSES = "classes.json"
MANIFEST = "manifest.json"
STATUS = "status.json"
METRICS = "metrics.jsonl"
ACTIVATIONS = "activations.npz"
HITS = "hits.npz"

HITS_KEPT = 5  # of the last evaluations
FORGOTTEN = "forgotten"  # in hits.npz: how many evaluations before those are not kept
ENDED = ("finished", "diverged")  # there is nothing more to run
SEEDS = ("seed", "data.seed")  # runs that differ in them are of one network
# Keys that change no result, by the machine that a run is on: runs are alike despite.
INDIFFERENT = (
    "data.workers",
    "log_every",
    "steps_per_call",
    "tensorboard",
    "checkpoint.every",
    "checkpoint.keep",
)

# Per probe and layer, beside the percentiles: name in activations.npz -> dtype. Norms
# and ranges may lie outside of float16. A record from before a field lacks it.
PROBE_FIELDS = {
    "gradient_norm": np.float32,  # [T, L]
    "saturated": np.float16,  # [T, L] shares
    "input_histogram": np.float16,  # [T, L, bins] shares that sum to 1
    "output_histogram": np.float16,  # [T, L, bins]
    "input_range": np.float32,  # [T, L, 2] ends of the equal bins
    "output_range": np.float32,  # [T, L, 2]
    "weight_norm": np.float32,  # [T, L]
    "shift_rms": np.float32,  # [T, L] root mean square of beta, or of b
    "scale_rms": np.float32,  # [T, L] of gamma
    # What probe.measures switches on; see probe_measures. All [T, L].
    "input_kurtosis": np.float32,
    "output_kurtosis": np.float32,
    "input_distance": np.float16,
    "output_distance": np.float16,
    "batch_noise": np.float32,
    "logit_noise": np.float32,
    "jacobian_median": np.float32,
    "jacobian_least": np.float32,
    "jacobian_largest": np.float32,
    "jacobian_near_one": np.float16,
    "through_median": np.float32,
    "through_largest": np.float32,
    "gradient_cosine": np.float16,
    "gradient_change": np.float32,
}
OF_NETWORK = ("logit_noise",)  # of no single layer: [T, 1]
CONSTANT_FIELDS = ("layers", "percentiles")  # the same at every probe


@dataclasses.dataclass(eq=False)
class Run:
    """What a run folder holds."""

    name: str  # the folder's name; below a searched folder, its path from there
    path: Path  # the folder
    config: dict  # resolved configuration, nested dicts, under the keys of today
    class_names: list[str]  # in the order of the labels; empty if not recorded
    class_folders: list[str]  # names of the class folders, likewise; empty for MNIST
    manifest: dict  # empty if not written yet
    status: dict  # {"status", "step", ...}; "unknown" at step 0 if not written yet
    metrics: list[dict]  # the lines of metrics.jsonl; what was not finite is None
    # "split/statistics" -> which examples the last evaluations got right, bool [T, N],
    # "steps" [T] and FORGOTTEN, a number; empty if the run did not record them
    hits: dict[str, np.ndarray]
    # arrays by name, floats as float32, "layers" as a list of str (see
    # `writer.RunWriter.append_activations` and PROBE_FIELDS); None if there are none
    activations: dict | None

    @functools.cached_property
    def stated(self) -> dict:
        """The configuration as the user stated it: dotted key -> value."""
        return configuration.stated(self.config)

    @property
    def norm(self) -> str:
        """The norm, with " after" where it follows the nonlinearity: NORM_KEYS."""
        kind, placement = (self.stated.get(key) for key in configuration.NORM_KEYS)
        return f"{kind} after" if placement == "after" and kind != "none" else str(kind)

    @property
    def held_out(self) -> str:
        """The split but "train" that it was evaluated on; "test" if on none."""
        splits = (row.get("split", "train") for row in self.metrics)
        return next((split for split in splits if split != "train"), "test")

    def series(
        self, split: str, statistics: str, field: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns one curve: steps int64 [T], values float64 [T], NaN for null.

        Both are empty if nothing was recorded under these names.
        """
        rows = [
            (row["step"], np.nan if row[field] is None else row[field])
            for row in self.metrics
            if row.get("split") == split
            and row.get("statistics") == statistics
            and field in row
        ]
        steps, values = zip(*rows, strict=True) if rows else ((), ())
        return np.asarray(steps, np.int64), np.asarray(values, np.float64)


def read_run(path: str | os.PathLike, name: str | None = None) -> Run:
    """Returns the run in the folder `path`.

    A run that is still going, or was killed, may lack every file but config.json.

    Raises:
      UserError: `path` is no run folder (the message lists the runs below it), or one
        of its files cannot be read (the message names it).
    """
    path = Path(path).expanduser()
    if not (path / CONFIG).is_file():
        raise UserError(_not_a_run(path))
    classes = read_checked(path / CLASSES, checks.classes, {"names": []})
    return Run(
        name=name or path.resolve().name,
        path=path,
        config=read_checked(path / CONFIG, configuration.read, None),
        class_names=classes["names"],
        class_folders=classes.get("folders", []),
        manifest=read_checked(path / MANIFEST, checks.manifest, {}),
        status=read_checked(
            path / STATUS, checks.status, {"status": "unknown", "step": 0}
        ),
        metrics=read_metrics(path / METRICS),
        hits=load_hits(path / HITS),
        activations=_as_read(load_activations(path / ACTIVATIONS)),
    )


def status(path: str | os.PathLike) -> dict:
    """Returns status.json; where it is missing or damaged, status "unknown"."""
    found = sound(Path(path) / STATUS, checks.status)
    return found or {"status": "unknown", "step": 0}


def config(path: str | os.PathLike) -> dict | None:
    """Returns config.json; None where it is missing or damaged."""
    return sound(Path(path) / CONFIG, configuration.read)


def damaged(path: str | os.PathLike) -> list[str]:
    """Returns the names of damaged files that a resume writes anew."""
    checked = {
        CONFIG: configuration.read,
        CLASSES: checks.classes,
        MANIFEST: checks.manifest,
        STATUS: checks.status,
    }
    there = {Path(path) / name: check for name, check in checked.items()}
    there = {file: check for file, check in there.items() if file.exists()}
    return [file.name for file, check in there.items() if sound(file, check) is None]


def kind_of(row: Mapping) -> str:
    """Returns "train" or "eval": what a line of metrics.jsonl is a record of."""
    training = (row.get("split"), row.get("statistics")) == ("train", "batch")
    return "train" if training else "eval"


def kept_rows(path: Path, step: int, forced: Sequence[str]) -> list[dict]:
    """Returns the lines of metrics.jsonl that `RunWriter.cut` leaves."""
    return [
        row
        for row in read_metrics(path)
        if row["step"] < step or row["step"] == step and kind_of(row) not in forced
    ]


def read_checked(path: Path, check, missing: dict | None = None) -> dict:
    """Returns the object in a JSON file, as one of `checks` approves of it.

    Raises:
      UserError: it is damaged; names it.
    """
    value = files.read_json(path, missing)
    try:
        return value if value is missing else check(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} is corrupt: {error}; put a copy back, or remove it and have it "
            f"written anew by the command that wrote it"
        ) from error


def sound(path: Path, check) -> dict | None:
    """Returns the object in a JSON file, None where that is missing or damaged."""
    try:
        return read_checked(path, check, None)
    except UserError:
        return None


def find_run_folders(path: str | os.PathLike) -> dict[str, Path]:
    """Returns the run folders at or below `path`: name -> folder, seed 2 before 10.

    Links are followed, each folder once.
    """
    root = Path(path).expanduser()
    found = {}
    for folder, children, names in files.walk(root):
        if CONFIG in names:
            children.clear()  # a run's folder holds its checkpoints, not other runs
            below = Path(folder).relative_to(root).as_posix()
            found[root.resolve().name if below == "." else below] = Path(folder)
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def find_runs(path: str | os.PathLike) -> list[Run]:
    """Returns all runs at or below the folder `path`; UserError as of `read_run`."""
    if not Path(path).expanduser().is_dir():
        raise UserError(_not_a_run(Path(path)))
    return [read_run(folder, name) for name, folder in find_run_folders(path).items()]


def group(runs: Sequence[Run], ignoring: Sequence[str]) -> list[list[Run]]:
    """Returns the runs of one stated configuration together, in order of the first.

    Dotted keys to ignore, such as "seed", may differ within a group, and INDIFFERENT
    ones.
    """
    ignored = {*ignoring, *INDIFFERENT}
    groups: dict[str, list[Run]] = {}
    for run in runs:
        alike = {k: v for k, v in run.stated.items() if k not in ignored}
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append(run)
    return list(groups.values())


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _not_a_run(path: Path) -> str:
    if not path.is_dir():
        return f"{path} is not a run: there is no such folder"
    below = list(find_run_folders(path))
    shown = ", ".join(below[:8]) + (f" and {len(below) - 8} more" if below[8:] else "")
    runs = f"runs below it: {shown}" if below else "and no run lies below it"
    return f"{path} is not a run: it has no {CONFIG}; {runs}"


def read_metrics(path: Path) -> list[dict]:
    """Returns the lines of metrics.jsonl but for a torn last one; [] if missing."""
    if not path.exists():
        return []
    with files.naming(path, "read"):
        *lines, torn = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(checks.row(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path} is corrupt: line {number} is no record of a step ({error})"
            ) from error
    return rows


def load_activations(path: Path) -> dict[str, np.ndarray] | None:
    """Returns the arrays of activations.npz as written; None if it is missing."""
    known = {"fields": PROBE_FIELDS, "of_network": OF_NETWORK}
    check = functools.partial(checks.activations, **known)
    return load_npz(path, ("steps", *CONSTANT_FIELDS), check)


def load_hits(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of hits.npz by name, {} if it is missing."""
    check = functools.partial(checks.arrays, constant=(FORGOTTEN,))
    return load_npz(path, ["steps"], check) or {}


def load_npz(
    path: Path, expected: Sequence[str], check=checks.arrays
) -> dict[str, np.ndarray] | None:
    """Returns the arrays of a file, which has those expected; None if it is missing."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        expected = {*expected, *map(str, arrays.get("layers", ()))}
        if lacking := sorted(expected - arrays.keys()):
            raise ValueError(f"it lacks {', '.join(lacking)}")
        check(arrays)
    except Exception as error:  # zipfile has no common error for what bit flips do
        raise UserError(f"{path} is corrupt: {error}") from error
    return arrays


def _as_read(arrays: dict[str, np.ndarray] | None) -> dict | None:
    if arrays is None:
        return None
    wide = {
        name: value.astype(np.float32) if value.dtype == np.float16 else value
        for name, value in arrays.items()
    }
    return wide | {"layers": [str(name) for name in arrays["layers"]]}
