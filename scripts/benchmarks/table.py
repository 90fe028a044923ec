"""Keeps what was measured as JSON, writes it as a table, and compares with it.

`results/benchmark/<machine>.json` holds a section for each benchmark: when and at which
commit it was run, on what, and its rows. A section that is measured again is replaced.
"""

import datetime
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.timing import Row, number
from bn_repro.analysis import tables
from bn_repro.cli import ROOT
from bn_repro.errors import UserError
from bn_repro.run_folder import files

FOLDER = ROOT / "results" / "benchmark"
PAGE = ROOT / "docs" / "measured.md"
BEGIN = "<!-- measured: python scripts/benchmark.py --table -->"
END = "<!-- /measured -->"
# By how much of the committed value a fresh one may be worse: times differ from run to
# run, and the more the busier the machine; errors change with the order of sums.
TOLERANCE = {"time": 0.25, "count": 0.001, "error": 1.0}


def section(rows: Iterable[Row], about: dict) -> dict:
    """Returns what the JSON file holds of one benchmark.

    Rows that could not be measured are left out.
    """
    kept = [_plain(row) for row in rows if not math.isnan(row.value)]
    return {**about, "rows": kept}


def _plain(row: Row) -> dict:
    found = {"what": row.what, "kind": row.kind, "value": _round(row.value)}
    if row.spread:
        found["quartiles"] = [*map(_round, row.spread)]
    found["figures"] = [
        {
            "who": figure.who,
            "median": _round(figure.median),
            "least": _round(min(figure.values)),
            "most": _round(max(figure.values)),
            "rounds": len(figure.values),
            "unit": figure.unit,
        }
        for figure in row.figures
    ]
    return found | {k: getattr(row, k) for k in ("bound", "detail") if getattr(row, k)}


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def about(versions: dict, revision: tuple, machine: str, devices: list) -> dict:
    """Returns what a section says of its run; the arguments are `manifest`'s."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "measured": now,
        "commit": revision[0],
        "dirty": revision[1],
        "machine": machine,
        "devices": devices,
        "load_average": load,
        "versions": versions,
    }


def file_of(machine: str, jax_version: str) -> Path:
    """Returns the file of a machine, "NVIDIA H200" or "x86_64, 2 cores"."""
    words = re.sub(r"[^a-z0-9_.]+", "-", f"{machine} jax {jax_version}".lower())
    return FOLDER / f"{words.strip('-')}.json"


def add(path: Path, name: str, sections: dict) -> None:
    """Puts sections into a machine's file, in place of those of the same benchmarks.

    Raises:
      UserError: the file is damaged, or the disk refuses it.
    """
    before = read(path)["sections"] if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": name, "sections": before | sections}
    text = json.dumps(files.plain(content), indent=1, allow_nan=False) + "\n"
    files.write_atomically(path, text.encode())


def read(path: Path) -> dict:
    """Returns what a machine's file holds; UserError if it holds something else."""
    content = files.read_json(path, {})
    if not isinstance(content.get("sections"), dict) or "machine" not in content:
        raise UserError(f"{path} holds no benchmarks; put a copy back, or remove it")
    return content


def markdown(folder: Path = FOLDER) -> str:
    """Returns the table: a row for each thing measured, a column for each machine."""
    machines = [read(path) for path in sorted(folder.glob("*.json"))]
    columns = [
        {
            row["what"]: _cell(row)
            for part in m["sections"].values()
            for row in part["rows"]
        }
        for m in machines
    ]
    names = dict.fromkeys(what for column in columns for what in column)
    rows = [[what, *(c.get(what, "-") for c in columns)] for what in names]
    return tables.markdown(["measured", *(m["machine"] for m in machines)], rows)


def _cell(row: dict) -> str:
    """Returns "0.82 (0.80-0.85): ours 12.3 ms, flax 15.0 ms"."""
    text = number(row["value"])
    if row.get("quartiles"):
        text += f" ({'-'.join(map(number, row['quartiles']))})"
    told = [
        f"{f['who']} {number(f['median'])} {f['unit']}".strip() for f in row["figures"]
    ]
    return f"{text}: {', '.join(told)}" if told else text


def worse(fresh: Iterable[Row], committed: dict) -> list[str]:
    """Returns a line for each fresh row that is worse than the committed by too much.

    Worse is more, or less where the bound is of the least; TOLERANCE says how much.
    """
    known = {r["what"]: r for s in committed["sections"].values() for r in s["rows"]}
    found = []
    for row in fresh:
        if row.what not in known or math.isnan(row.value):
            continue
        before = known[row.what]["value"]
        change = row.value / before - 1 if before else row.value
        change = -change if row.bound.startswith(">") else change
        if not change <= TOLERANCE[row.kind]:
            limit = f"{TOLERANCE[row.kind]:.1%}"
            found.append(
                f"{row.what}: {row.value:.4g}, committed {before:.4g}: worse by "
                f"{change:.1%}, more than {limit}"
            )
    return found
