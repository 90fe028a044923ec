"""The run folder: what a run leaves on disk, and the one way to write and read it.

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
for the last line of metrics.jsonl, which readers skip and `RunWriter.cut` removes.
JSON has no NaN or infinity: they are written as null.
"""

import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder import checks, files
from bn_repro.run_folder.checks import STATUSES

CONFIG = "config.json"
CLASSES = "classes.json"
MANIFEST = "manifest.json"
STATUS = "status.json"
METRICS = "metrics.jsonl"
ACTIVATIONS = "activations.npz"
HITS = "hits.npz"

HITS_KEPT = 5  # of the last evaluations
ENDED = ("finished", "diverged")  # there is nothing more to run

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
    "jacobian_median": np.float32,
    "jacobian_least": np.float32,
    "jacobian_largest": np.float32,
    "jacobian_near_one": np.float16,
    "through_median": np.float32,
    "through_largest": np.float32,
    "gradient_cosine": np.float16,
    "gradient_change": np.float32,
}
# A key of the configuration that came after the first records: what a record without it
# means, its default when it was introduced. Every new key comes here.
INTRODUCED = {
    "model.padding": "same",
    "model.norm_placement": "before",
    "data.max_pixels": 100_000_000,
    "eval.early_every": 0,
    "eval.early_until": 0,
    "eval.population_batches_during": 0,
    "probe.steps": [],
    "probe.measures": [],
    "bn.gradient": "full",
    "eval.train": False,
}
# An old key: its old value -> today's keys and values.
RENAMED: dict[str, Callable] = {
    "model.norm": lambda value: {
        "before": {"model.norm": "batch_norm", "model.norm_placement": "before"},
        "after": {"model.norm": "batch_norm", "model.norm_placement": "after"},
    }.get(value, {"model.norm": value}),
}

NORM_KEYS = ("model.norm", "model.norm_placement")

_CONSTANT_FIELDS = ("layers", "percentiles")  # the same at every probe


class RunWriter:
    """Writes the files of one run; continues those that are already there.

    Every method raises UserError, naming the file, when the disk refuses it; what was
    written before stays whole.
    """

    def __init__(self, workdir: str | os.PathLike):
        """Creates the folder `workdir`; raises UserError if it cannot be written."""
        self.path = Path(workdir)
        with files.naming(self.path, "write"):
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError("no permission")
        # Damaged, it is begun anew, as any resume rewrites it.
        self.manifest: dict = _sound(self.path / MANIFEST, checks.manifest) or {}
        self._activations = load_activations(self.path / ACTIVATIONS) or {}
        self._hits = _load_npz(self.path / HITS, ["steps"]) or {}

    def write_config(self, config: Mapping) -> None:
        """Writes the resolved configuration, nested dicts of plain values."""
        files.write_json(self.path / CONFIG, config)

    def refuse_other_classes(
        self, names: Sequence[str], folders: Sequence[str]
    ) -> None:
        """Raises UserError if other classes, or another order of them, are recorded.

        A damaged file refuses nothing: it is written anew.
        """
        try:
            there = files.read_json(self.path / CLASSES, missing={})
        except UserError:
            return
        recorded = there.get("folders") or there.get("names")
        if not recorded or recorded in (list(folders), list(names)):
            return
        pairs = itertools.zip_longest(recorded, folders or names)
        label, (then, now) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
        raise UserError(
            f"{self.path} was trained on other classes: label {label} was {then!r}, in "
            f"the training pictures it is {now!r}; name those it was trained on, or "
            "another --workdir"
        )

    def write_class_names(
        self, names: Sequence[str], folders: Sequence[str] = ()
    ) -> None:
        """Writes names of the classes and of their folders, in the order of labels."""
        classes = {"names": list(names), "folders": list(folders)}
        files.write_json(self.path / CLASSES, classes)

    def write_manifest(self, manifest: Mapping) -> None:
        """Writes the manifest, in place of the one that was there."""
        self.manifest = dict(manifest)
        files.write_json(self.path / MANIFEST, self.manifest)

    def update_manifest(self, **fields) -> None:
        """Sets some fields of the manifest and keeps the others."""
        self.write_manifest({**self.manifest, **fields})

    def write_status(self, status: str, step: int, **fields) -> None:
        """Writes how the run stands: one of STATUSES, the steps done, more fields."""
        if status not in STATUSES:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUSES)}")
        files.write_json(self.path / STATUS, {"status": status, "step": step, **fields})

    def append_metrics(self, row: Mapping) -> None:
        """Appends one line to metrics.jsonl; it is in the file when this returns."""
        line = json.dumps(files.plain(row), allow_nan=False).encode() + b"\n"
        path = self.path / METRICS
        with files.naming(path, "write"), open(path, "ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(end)  # no torn line for the next append to run on from
                raise

    def sync(self) -> None:
        """Forces metrics.jsonl to the disk: a checkpoint must not outlive its lines."""
        path = self.path / METRICS
        if path.exists():
            with files.naming(path, "write"), open(path, "ab") as file:
                os.fsync(file.fileno())

    def append_activations(
        self,
        step: int,
        layer_arrays: Mapping[str, np.ndarray],
        percentiles: Sequence[float],
        **fields: np.ndarray,
    ) -> None:
        """Adds one probe and writes activations.npz anew.

        Where the probes before it lack a field, or it lacks one of theirs, that is NaN.

        Args:
          step: steps done when the probe was taken.
          layer_arrays: in network order, layer -> [P, units] percentiles over examples
            (and locations) of the input to the layer's nonlinearity.
          percentiles: [P] in 0..100, the same at every probe.
          **fields: some or all of PROBE_FIELDS, each without its axis T.
        """
        if unknown := sorted(fields.keys() - PROBE_FIELDS.keys()):
            raise ValueError(f"{', '.join(unknown)}: not in PROBE_FIELDS")
        added = {"steps": np.asarray(step, np.int64)}
        added |= {name: _float16(values) for name, values in layer_arrays.items()}
        added |= {
            name: np.asarray(fields[name], dtype)
            for name, dtype in PROBE_FIELDS.items()
            if name in fields
        }
        grown = _grown(self._activations, added)
        grown["layers"] = np.asarray(list(layer_arrays))
        grown["percentiles"] = np.asarray(percentiles, np.float64)
        self._replace_activations(grown)

    def append_hits(self, step: int, hits: Mapping[str, np.ndarray]) -> None:
        """Adds an evaluation's outcomes and forgets all but the last HITS_KEPT.

        Args:
          step: steps done.
          hits: "split/statistics" -> whether each example is a top-1 hit, bool [N].
        """
        added = {"steps": np.asarray(step, np.int64)} | hits
        kept = self._hits or {
            name: np.asarray(x)[None][:0] for name, x in added.items()
        }
        self._replace_hits(
            {
                name: np.concatenate([kept[name], np.asarray(x)[None]])[-HITS_KEPT:]
                for name, x in added.items()
            }
        )

    def cut(self, step: int, forced: Sequence[str] = ()) -> None:
        """Forgets what was recorded after `step`, and a torn last line; -1: everything.

        To be called on a resume from the checkpoint of `step`, before anything is
        appended, so that the files have neither a gap nor a duplicate.

        Args:
          step: of the checkpoint.
          forced: kinds of records (see `kind_of`, and "probe") that were made at `step`
            because the run ended there; they go too.
        """
        path = self.path / METRICS
        rows = _kept_rows(path, step, forced)
        if path.exists():
            # Floats survive: Python writes the shortest text that reads back the same.
            files.write_atomically(
                path, b"".join(json.dumps(r).encode() + b"\n" for r in rows)
            )
        if self._hits:
            kept = self._hits["steps"] <= step - ("eval" in forced)
            self._replace_hits({name: x[kept] for name, x in self._hits.items()})
        if self._activations:
            kept = self._activations["steps"] <= step - ("probe" in forced)
            self._replace_activations(
                {
                    name: value if name in _CONSTANT_FIELDS else value[kept]
                    for name, value in self._activations.items()
                }
            )

    def not_finite(self) -> dict[str, int]:
        """Returns "split/statistics/field" of what was not finite -> its first step."""
        found = {}
        for row in read_metrics(self.path / METRICS):
            of = f"{row.get('split')}/{row.get('statistics')}"
            for name in (name for name, value in row.items() if value is None):
                found.setdefault(f"{of}/{name}", row["step"])
        return found

    def _replace_activations(self, arrays: dict[str, np.ndarray]) -> None:
        _write_npz(self.path / ACTIVATIONS, arrays)
        self._activations = arrays

    def _replace_hits(self, arrays: dict[str, np.ndarray]) -> None:
        _write_npz(self.path / HITS, arrays)
        self._hits = arrays


@dataclasses.dataclass(eq=False)
class Run:
    """What a run folder holds.

    Attributes:
      name: the folder's name; below a searched folder, its path from there.
      path: the folder.
      config: resolved configuration, nested dicts, under the keys of today.
      class_names: in the order of the labels; empty if the run did not record them.
      class_folders: names of the class folders, likewise; empty for MNIST.
      manifest: empty if not written yet.
      status: {"status": ..., "step": n, ...}; "unknown" at step 0 if not written yet.
      metrics: the lines of metrics.jsonl; what was not finite is None.
      hits: "split/statistics" -> which examples the last evaluations got right, bool
        [T, N], and "steps" [T]; empty if the run did not record them.
      activations: arrays by name, floats as float32, "layers" as a list of str (see
        `RunWriter.append_activations` and PROBE_FIELDS); None if there are none.
    """

    name: str
    path: Path
    config: dict
    class_names: list[str]
    class_folders: list[str]
    manifest: dict
    status: dict
    metrics: list[dict]
    hits: dict[str, np.ndarray]
    activations: dict | None

    @functools.cached_property
    def stated(self) -> dict:
        """The configuration as the user stated it: dotted key -> value."""
        return stated(self.config)

    @property
    def norm(self) -> str:
        """The norm, with " after" where it follows the nonlinearity: NORM_KEYS."""
        kind, placement = (self.stated.get(key) for key in NORM_KEYS)
        return f"{kind} after" if placement == "after" and kind != "none" else str(kind)

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


def differing_keys(a: Mapping, b: Mapping) -> dict[str, tuple]:
    """Returns dotted key -> (value in a, value in b) where two configurations differ.

    A key that resolve() translated is compared, and shown, as the user stated it.
    A key that one of them lacks has None there.
    """
    a, b = stated(a), stated(b)
    keys = dict.fromkeys([*a, *b])
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def stated(config: Mapping) -> dict:
    """Returns dotted key -> value, as the user stated it before resolve().

    Args:
      config: what a config.json of any age holds.
    """
    flat = flatten(files.plain({k: v for k, v in config.items() if k != "stated"}))
    return of_today(flat | flatten(files.plain(config.get("stated") or {})))


def of_today(flat: Mapping) -> dict:
    """Returns a flat configuration of any age with all keys of today."""
    today = {}
    for key, value in flat.items():
        today |= RENAMED[key](value) if key in RENAMED else {key: value}
    return today | {k: v for k, v in INTRODUCED.items() if k not in today}


def _config(there: dict) -> dict:
    """Returns what a config.json of any age holds under the keys of today."""
    checks.config(there)
    flat = of_today(flatten({k: v for k, v in there.items() if k != "stated"}))
    config = {"stated": there.get("stated") or {}}
    for key, value in flat.items():
        *sections, name = key.split(".")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return config


def flatten(tree: Mapping, prefix: str = "") -> dict:
    """Returns nested dicts as dotted key -> value."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_run(path: str | os.PathLike, name: str | None = None) -> Run:
    """Returns the run in the folder `path`.

    A run that is still going, or was killed, may lack every file but config.json.

    Raises:
      UserError: `path` is no run folder (the message lists the runs below it), or one
        of its files cannot be read (the message names it).
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        raise UserError(_not_a_run(path))
    classes = read_checked(path / CLASSES, checks.classes, {"names": []})
    return Run(
        name=name or path.resolve().name,
        path=path,
        config=read_checked(path / CONFIG, _config, None),
        class_names=classes["names"],
        class_folders=classes.get("folders", []),
        manifest=read_checked(path / MANIFEST, checks.manifest, {}),
        status=read_checked(
            path / STATUS, checks.status, {"status": "unknown", "step": 0}
        ),
        metrics=read_metrics(path / METRICS),
        hits=_load_npz(path / HITS, ["steps"]) or {},
        activations=_as_read(load_activations(path / ACTIVATIONS)),
    )


def status_of(path: str | os.PathLike) -> str:
    """Returns the status of the run in a folder, "waiting" if it has none."""
    if not (Path(path) / CONFIG).is_file():
        return "waiting"
    return status(path)["status"]


def status(path: str | os.PathLike) -> dict:
    """Returns status.json; where it is missing or damaged, status "unknown"."""
    found = _sound(Path(path) / STATUS, checks.status)
    return found or {"status": "unknown", "step": 0}


def config(path: str | os.PathLike) -> dict | None:
    """Returns config.json; None where it is missing or damaged."""
    return _sound(Path(path) / CONFIG, _config)


def damaged(path: str | os.PathLike) -> list[str]:
    """Returns the names of damaged files that a resume writes anew."""
    checked = {
        CONFIG: _config,
        CLASSES: checks.classes,
        MANIFEST: checks.manifest,
        STATUS: checks.status,
    }
    return [
        name
        for name, check in checked.items()
        if (Path(path) / name).exists() and _sound(Path(path) / name, check) is None
    ]


def seen(path: str | os.PathLike, step: int, forced: Sequence[str] = ()) -> dict:
    """Returns what tells whether the records up to a step are still those of now.

    Args:
      path: the run folder.
      step: steps done.
      forced: kinds of records at `step` to leave out, see `RunWriter.cut`.

    Returns:
      {"metrics": [lines, their sha256], "probes": n, "evaluations": n of hits}.
    """
    path = Path(path)
    sha256, rows = hashlib.sha256(), _kept_rows(path / METRICS, step, forced)
    for row in rows:
        sha256.update(json.dumps(row).encode())
    last = {
        "probes": step - ("probe" in forced),
        "evaluations": step - ("eval" in forced),
    }
    arrays = {
        "probes": load_activations(path / ACTIVATIONS) or {},
        "evaluations": _load_npz(path / HITS, ["steps"]) or {},
    }
    counts = {
        name: int(np.sum(found["steps"] <= last[name])) if found else 0
        for name, found in arrays.items()
    }
    return {"metrics": [len(rows), sha256.hexdigest()], **counts}


def kind_of(row: Mapping) -> str:
    """Returns "train" or "eval": what a line of metrics.jsonl is a record of."""
    training = (row.get("split"), row.get("statistics")) == ("train", "batch")
    return "train" if training else "eval"


def _kept_rows(path: Path, step: int, forced: Sequence[str]) -> list[dict]:
    return [
        row
        for row in read_metrics(path)
        if row["step"] < step or row["step"] == step and kind_of(row) not in forced
    ]


def read_checked(path: Path, check, missing: dict | None = None) -> dict:
    """Returns the object in a JSON file, as one of `checks` approves of it.

    Args:
      path: the file.
      check: of its value.
      missing: what stands for a missing file; None: that is an error.

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


def _sound(path: Path, check) -> dict | None:
    """Returns the object in a JSON file, None where that is missing or damaged."""
    try:
        return read_checked(path, check, None)
    except UserError:
        return None


def find_run_folders(path: str | os.PathLike) -> dict[str, Path]:
    """Returns the run folders at or below `path`: name -> folder, seed 2 before 10."""
    root = Path(path)
    found = {}
    for folder, children, names in os.walk(root):
        if CONFIG in names:
            children.clear()  # a run's folder holds its checkpoints, not other runs
            below = Path(folder).relative_to(root).as_posix()
            found[root.resolve().name if below == "." else below] = Path(folder)
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def find_runs(path: str | os.PathLike) -> list[Run]:
    """Returns all runs at or below `path`; raises UserError as `read_run` does."""
    return [read_run(folder, name) for name, folder in find_run_folders(path).items()]


def group(runs: Sequence[Run], ignoring: Sequence[str]) -> list[list[Run]]:
    """Returns the runs of one stated configuration together, in order of the first.

    Args:
      runs: to group.
      ignoring: dotted keys that may differ within a group, such as "seed".
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        alike = {k: v for k, v in run.stated.items() if k not in ignoring}
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


def _grown(before: Mapping, added: Mapping) -> dict[str, np.ndarray]:
    """Returns arrays [T, ...] with one more row; NaN where only one side has a name."""
    if not before:
        return {name: value[None] for name, value in added.items()}
    rows = len(before["steps"])
    grown = {}
    for name, value in added.items():
        missing = np.full((rows, *value.shape), np.nan, np.float16)
        old = before.get(name, missing).astype(value.dtype)
        grown[name] = np.concatenate([old, value[None]])
    for name in before.keys() - grown.keys() - {*_CONSTANT_FIELDS}:
        missing = np.full_like(before[name][:1], np.nan)
        grown[name] = np.concatenate([before[name], missing])
    return grown


def _float16(values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max
    return np.clip(np.asarray(values), -largest, largest).astype(np.float16)


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


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_atomically(path, buffer.getvalue())


def load_activations(path: Path) -> dict[str, np.ndarray] | None:
    """Returns the arrays of activations.npz as written; None if it is missing."""
    return _load_npz(
        path,
        ("steps", *_CONSTANT_FIELDS),
        lambda arrays: checks.activations(arrays, PROBE_FIELDS),
    )


def _load_npz(
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
