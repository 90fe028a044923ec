"""Whether a run folder's records are still those that a checkpoint was saved with."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bn_repro.run_folder import records


def of(path: str | os.PathLike, step: int, forced: Sequence[str] = ()) -> dict:
    """Returns what tells whether the records up to a step are still those of now.

    Args:
      path: the run folder.
      step: steps done.
      forced: kinds of records at `step` to leave out, see `writer.RunWriter.cut`.

    Returns:
      {"metrics": [lines, their sha256], "probes": n, "evaluations": n of hits}.
    """
    path = Path(path)
    sha256 = hashlib.sha256()
    rows = records.kept_rows(path / records.METRICS, step, forced)
    for row in rows:
        sha256.update(json.dumps(row).encode())
    last = {"probes": step - ("probe" in forced)}
    last["evaluations"] = step - ("eval" in forced)
    arrays = {
        "probes": records.load_activations(path / records.ACTIVATIONS) or {},
        "evaluations": records.load_npz(path / records.HITS, ["steps"]) or {},
    }
    counts = {
        name: int(np.sum(found["steps"] <= last[name])) if found else 0
        for name, found in arrays.items()
    }
    return {"metrics": [len(rows), sha256.hexdigest()], **counts}


def hits_are_full(path: str | os.PathLike) -> bool:
    """Returns whether hits.npz holds as many evaluations as it ever does."""
    found = records.load_npz(Path(path) / records.HITS, ["steps"])
    return bool(found) and len(found["steps"]) == records.HITS_KEPT
