"""Writes the files of a run folder; `records` says what they are and reads them."""

import io
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder import checks, files
from bn_repro.run_folder.background import Background
from bn_repro.run_folder.checks import STATUSES
from bn_repro.run_folder.records import (
    ACTIVATIONS,
    CLASSES,
    CONFIG,
    CONSTANT_FIELDS,
    FORGOTTEN,
    HITS,
    HITS_KEPT,
    MANIFEST,
    METRICS,
    PROBE_FIELDS,
    STATUS,
    kept_rows,
    kind_of,
    load_activations,
    load_hits,
    read_metrics,
    sound,
)


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
        self.background = Background()  # writes the checkpoints
        # Damaged, it is begun anew, as any resume rewrites it.
        self.manifest: dict = sound(self.path / MANIFEST, checks.manifest) or {}
        self._activations = load_activations(self.path / ACTIVATIONS) or {}
        self._hits = load_hits(self.path / HITS)
        self._forgotten = int(self._hits.pop(FORGOTTEN, 0))

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

    def refuse_other_devices(self, devices: int) -> None:
        """Raises UserError if the run's last start was on another number of devices.

        With bn.batch="device" BN would normalise over mini-batches of another size.
        """
        before = len(self.manifest.get("devices", ())) or devices
        if before != devices:
            raise UserError(
                f"{self.path} was trained on {before} devices, now there are "
                f"{devices}, and with bn.batch='device' each normalises over its own "
                f"part of the batch; give it as many, or another --workdir, to go on "
                f"there with --branch_from {self.path}"
            )

    def changed_data(self, examples: Mapping, digests: Mapping) -> dict[str, tuple]:
        """Returns name -> (recorded, now) where other pictures are given than before.

        A digest may also differ since they were moved, from a folder to a tar. A
        manifest from before lacks the numbers.

        Args:
          examples: split -> number of examples.
          digests: split -> sha256 of which examples it holds.

        Raises:
          UserError: the number of training examples is another.
        """
        now = examples["train"]
        before = self.manifest.get("examples", {}).get("train", now)
        if before != now:
            raise UserError(
                f"{self.path} was trained on {before} examples, now there are {now}, "
                f"whose order and epochs are others; name those it was trained on, or "
                f"another --workdir, to go on there with --branch_from {self.path}"
            )
        there = self.manifest.get("data_sha256", {})
        return {
            f"data_sha256.{split}": (there[split], digest)
            for split, digest in digests.items()
            if there.get(split, digest) != digest
        }

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
        for name in (name for name in PROBE_FIELDS if name in fields):
            added[name] = np.asarray(fields[name], PROBE_FIELDS[name])
        grown = _grown(self._activations, added)
        grown["layers"] = np.asarray(list(layer_arrays))
        grown["percentiles"] = np.asarray(percentiles, np.float64)
        self._replace_activations(grown)

    def append_hits(self, step: int, hits: Mapping[str, np.ndarray]) -> None:
        """Adds an evaluation's outcomes and forgets all but the last HITS_KEPT.

        Those of other splits, statistics or pictures than these are forgotten, too.
        `hits` are "split/statistics" -> whether each example is a top-1 hit, bool [N].
        """
        added = {"steps": np.asarray(step, np.int64)} | hits
        added = {name: np.asarray(x)[None] for name, x in added.items()}
        kept = self._hits
        if _shapes(kept) != _shapes(added):  # the first, or evaluated otherwise
            self._forgotten += len(kept.get("steps", ()))
            kept = {name: x[:0] for name, x in added.items()}
        grown = {name: np.concatenate([kept[name], x]) for name, x in added.items()}
        self._forgotten += max(len(grown["steps"]) - HITS_KEPT, 0)
        self._replace_hits({name: x[-HITS_KEPT:] for name, x in grown.items()})

    def cut(self, step: int, forced: Sequence[str] = ()) -> None:
        """Forgets what was recorded after `step`, and a torn last line; -1: everything.

        To be called on a resume from the checkpoint of `step`, before anything is
        appended, so that the files have neither a gap nor a duplicate. `forced` are
        kinds of records (see `kind_of`, and "probe") that were made at `step` because
        the run ended there; they go too.
        """
        path = self.path / METRICS
        rows = kept_rows(path, step, forced)
        if path.exists():
            # Floats survive: Python writes the shortest text that reads back the same.
            lines = (json.dumps(row).encode() + b"\n" for row in rows)
            files.write_atomically(path, b"".join(lines))
        if self._hits:
            kept = self._hits["steps"] <= step - ("eval" in forced)
            made = {row["step"] for row in rows if kind_of(row) == "eval"}
            self._forgotten = len(made) - int(kept.sum())
            self._replace_hits({name: x[kept] for name, x in self._hits.items()})
        if self._activations:
            kept = self._activations["steps"] <= step - ("probe" in forced)
            self._replace_activations(
                {
                    name: value if name in CONSTANT_FIELDS else value[kept]
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
        forgotten = {FORGOTTEN: np.asarray(self._forgotten)}
        _write_npz(self.path / HITS, arrays | forgotten)
        self._hits = arrays


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
    return {name: x.shape[1:] for name, x in arrays.items()}


def _grown(before: Mapping, added: Mapping) -> dict[str, np.ndarray]:
    """Returns arrays [T, ...] with one more row; NaN where only one side has a name."""
    if not len(before.get("steps", ())):  # or all were cut: its settings may be others
        return {name: value[None] for name, value in added.items()}
    rows = len(before["steps"])
    grown = {}
    for name, value in added.items():
        missing = np.full((rows, *value.shape), np.nan, np.float16)
        old = before.get(name, missing).astype(value.dtype)
        grown[name] = np.concatenate([old, value[None]])
    for name in before.keys() - grown.keys() - {*CONSTANT_FIELDS}:
        missing = np.full_like(before[name][:1], np.nan)
        grown[name] = np.concatenate([before[name], missing])
    return grown


def _float16(values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max
    return np.clip(np.asarray(values), -largest, largest).astype(np.float16)


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_atomically(path, buffer.getvalue())
