"""Whether a run folder's records are still those that a checkpoint was saved with."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bn_repro.run_folder import configuration, records


def of(path: str | os.PathLike, step: int, forced: Sequence[str] = ()) -> dict:
    """Returns what tells whether the records up to a step are still those of now.

    Kinds of records at `step` that are `forced` are left out, see
    `writer.RunWriter.cut`.

    Returns:
      {"metrics": [lines, their sha256], "probes": n, "evaluations": n of hits, with
      those that later ones took the place of}.
    """
    path = Path(path)
    sha256 = hashlib.sha256()
    rows = records.kept_rows(path / records.METRICS, step, forced)
    for row in rows:
        sha256.update(json.dumps(row).encode())
    last = {"probes": step - ("probe" in forced)}
    last["evaluations"] = step - ("eval" in forced)
    hits = records.load_hits(path / records.HITS)
    arrays = {
        "probes": records.load_activations(path / records.ACTIVATIONS) or {},
        "evaluations": hits,
    }
    counts = {
        name: int(np.sum(found["steps"] <= last[name])) if found else 0
        for name, found in arrays.items()
    }
    counts["evaluations"] += int(hits.get(records.FORGOTTEN, 0))
    return {"metrics": [len(rows), sha256.hexdigest()], **counts}


def lost(folder: Path, there: Mapping, step: int, about: Mapping) -> str:
    """Returns what the records up to a checkpoint's step lack, "" if nothing.

    `there` is the run's configuration, `about` what its checkpoint says of itself.
    """
    if "records" not in about:
        return _lost_by_schedule(folder, there, step)
    whole, unforced = about["records"], about.get("records_unforced")
    now = of(folder, step)
    if _may_have_forgotten(folder, whole["evaluations"]):
        now["evaluations"] = max(now["evaluations"], whole["evaluations"])
    if _holds(now, whole) or unforced and _holds(now, unforced):
        return ""
    files_of = {
        "metrics": records.METRICS,
        "probes": records.ACTIVATIONS,
        "evaluations": records.HITS,
    }
    for name, file in files_of.items():
        if not _holds(now, {name: whole[name]}):
            return f"{file} is not what it was then: {_less(now[name], whole[name])}"
    return ""


def _holds(now: Mapping, then: Mapping) -> bool:
    """Returns whether the lines are those of then, and no array of then is missing.

    There may be more of them: `writer.RunWriter.cut`, killed, leaves some of those that
    were forced, and of what was forgotten not all is from before the step.
    """
    return all(
        now[name] == value if name == "metrics" else now[name] >= value
        for name, value in then.items()
    )


def _may_have_forgotten(folder: Path, then: int) -> bool:
    """Returns whether hits.npz is full and, as the checkpoint, from before it counted.

    Later evaluations may then have taken the place of the first ones.
    """
    found = records.load_hits(folder / records.HITS)
    before = bool(found) and records.FORGOTTEN not in found
    full = before and len(found["steps"]) == records.HITS_KEPT
    return full and then <= records.HITS_KEPT


def _less(now, then) -> str:
    if isinstance(then, list):
        now, then = now[0], then[0]
    return f"{now} of {then} records" if now != then else "a record was changed"


def _lost_by_schedule(folder: Path, there: Mapping, step: int) -> str:
    """As `lost`, of a checkpoint from before, by what was due."""
    rows = records.read_metrics(folder / records.METRICS)
    probes = records.load_activations(folder / records.ACTIVATIONS)
    made = [
        ("log_every" if kind[0] == "train" else "eval.every", steps_of(rows, kind))
        for kind in kinds(there)
    ]
    made.append(("probe.every", set(probes["steps"].tolist()) if probes else set()))
    flat = configuration.flatten(there)
    for key, found in made:
        every = flat.get(key, 0)
        due = range(every, step + 1, every) if every else ()
        if missing := [n for n in due if n not in found]:
            file = records.ACTIVATIONS if key == "probe.every" else records.METRICS
            return f"{file} lacks {len(missing)} of {len(due)} records due until then"
    return ""


def kinds(there: Mapping) -> list[tuple[str, str]]:
    """Returns ("train" or "eval", statistics) of what a run records."""
    flat = configuration.flatten(there)
    kinds = [("train", "batch"), ("eval", "ema")]
    if flat.get("model.norm") == "batch_norm":
        kinds += [("eval", "batch")] * bool(flat.get("eval.batch_statistics"))
        during = flat.get("eval.population_batches_during")
        kinds += [("eval", "population")] * bool(during)
    return kinds


def steps_of(rows: list[dict], kind: tuple[str, str]) -> set[int]:
    """Returns the steps of the lines of metrics.jsonl of one of `kinds`."""
    found = (r for r in rows if (records.kind_of(r), r.get("statistics")) == kind)
    return {row["step"] for row in found}
