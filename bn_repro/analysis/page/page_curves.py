"""What a run recorded over its training, and what the page calls it.

A new field of metrics.jsonl appears by itself under its own name.
"""

from collections.abc import Sequence

from bn_repro.analysis import tables
from bn_repro.run_folder.records import Run

# Whose accuracy is shown, on held-out data: Algorithm 2's statistics where recorded.
BEST_FIRST = ("population", "ema")
AS_LISTED = "held_out"  # each run's own of these, where they are not the same
NOT_MEASURED = ("step", "examples", "seconds", "count")
FIELD_NAMES = {
    "accuracy": "accuracy",
    "loss": "loss (cross-entropy)",
    "top5": "top-5 accuracy",
    "l2": "L2 penalty",
    "learning_rate": "learning rate",
}
SPLIT_NAMES = {"train": "training", "test": "test", "val": "validation"}


def of_run(run: Run) -> dict:
    """Returns "split statistics" -> {"steps", "seconds", and each recorded number}."""
    rows: dict[str, list[dict]] = {}
    for row in run.metrics:
        rows.setdefault(f"{row.get('split')} {row.get('statistics')}", []).append(row)
    return {key: _columns_of(group) for key, group in rows.items()}


def _columns_of(rows: list[dict]) -> dict:
    names = dict.fromkeys(name for row in rows for name in row)
    measured = [
        name
        for name in names
        if name not in NOT_MEASURED
        and all(isinstance(row.get(name), int | float | None) for row in rows)
    ]
    return {
        "steps": [row["step"] for row in rows],
        "seconds": [row.get("seconds") for row in rows],
    } | {name: [row.get(name) for row in rows] for name in measured}


def held_out(curves: dict) -> str | None:
    """Returns which of a run's curves its accuracy is taken from."""
    return next((k for k in _best_first(curves) if "accuracy" in curves[k]), None)


def _best_first(keys) -> list[str]:
    """Returns those of the keys that are of held-out data, by statistics."""
    of_data = [key for key in keys if not key.startswith(("train ", "None "))]
    return [key for how in BEST_FIRST for key in of_data if key.endswith(f" {how}")]


def add_as_listed(shown: Sequence[dict]) -> None:
    """Adds each run's held-out curves under one key, if they have several."""
    if len({run["held_out"] for run in shown if run["held_out"]}) > 1:
        for run in shown:
            if run["held_out"]:
                run["curves"][AS_LISTED] = run["curves"][run["held_out"]]


def curve_names(shown: Sequence[dict]) -> dict[str, str]:
    """Returns the key of each curve of some runs' values -> its name, best first."""
    found = dict.fromkeys(key for run in shown for key in run["curves"])
    as_listed = [AS_LISTED] if AS_LISTED in found else []
    best_first = [*as_listed, *_best_first(found), *found]
    return {key: _data_name(key) for key in best_first}


def _data_name(key: str) -> str:
    if key == AS_LISTED:
        return "held out, as listed"
    split, statistics = key.split(" ", 1)
    data = f"{SPLIT_NAMES.get(split, split)} data"
    return f"{data}, {tables.STATISTICS.get(statistics, statistics)}"


def field_names(shown: Sequence[dict]) -> dict[str, str]:
    """Returns each recorded field -> its name."""
    curves = [curve for run in shown for curve in run["curves"].values()]
    found = dict.fromkeys(name for curve in curves for name in curve)
    named = [*FIELD_NAMES, *found]
    kept = [name for name in dict.fromkeys(named) if name in found]
    kept = [name for name in kept if name not in ("steps", "seconds")]
    return {name: FIELD_NAMES.get(name, name.replace("_", " ")) for name in kept}


def held_out_text(shown: Sequence[dict]) -> str:
    """Returns a sentence on which accuracy the table shows."""
    used = dict.fromkeys(run["held_out"] for run in shown if run["held_out"])
    if not used:
        return "No held-out accuracy was recorded."
    names = " or, where that is missing, ".join(map(_data_name, used))
    return f"Accuracy is on {names}."
