"""Fig. 4 as a table, from what scripts/evaluate.py wrote."""

import os
from collections.abc import Sequence
from pathlib import Path

from bn_repro.analysis.tables import Table
from bn_repro.run_folder import checks, files
from bn_repro.run_folder.records import read_checked

# Rows of Fig. 4: model, resolution, crops, models, top-1 and top-5 error.
COLUMNS = ("", "Model", "Resolution", "Crops", "Models", "Pictures", "Top-1 error")
PAPER_CLASSES = 1000
PAPER = (
    ("GoogLeNet ensemble", "224", "144", "7", "-", "6.67 %"),
    ("Deep Image low-res", "256", "-", "1", "-", "7.96 %"),
    ("Deep Image high-res", "512", "-", "1", "24.88 %", "7.42 %"),
    ("Deep Image ensemble", "variable", "-", "-", "-", "5.98 %"),
    ("BN-Inception single crop", "224", "1", "1", "25.2 %", "7.82 %"),
    ("BN-Inception multicrop", "224", "144", "1", "21.99 %", "5.82 %"),
    ("BN-Inception ensemble", "224", "144", "6", "20.1 %", "4.9 %"),
)
NOTE = (
    "The paper's top-5 error of the ensemble is 4.82 % on the test server, over "
    "100,000 pictures. GoogLeNet and Deep Image are as the paper cites them."
)
OF_FEWER = " Among fewer classes a guess is right more often: no match for the paper's."
KINDS = {"ema": "moving averages", "population": "Algorithm 2"}


def read(folder: str | os.PathLike) -> list[dict]:
    """Returns the evaluation_*.json below a folder, those of fewer views first."""
    rows = []
    found = (Path(at, name) for at, _, names in files.walk(folder) for name in names)
    for file in sorted(path for path in found if path.match("evaluation_*.json")):
        below = file.parent.relative_to(folder).as_posix()
        rows.append(
            {"folder": "" if below == "." else below}
            | read_checked(file, checks.evaluation)
        )
    return sorted(rows, key=lambda row: (len(row["members"]), row["crops"]))


def figure4_table(results: Sequence[dict]) -> Table:
    """Returns the paper's Fig. 4 with our evaluations below it.

    Top-5 of other numbers of classes has columns of its own: five guesses of 100 are
    right far more often than five of 1,000.
    """
    numbers = [PAPER_CLASSES]
    numbers += sorted({r.get("classes", 0) for r in results} - {PAPER_CLASSES})
    columns = [*COLUMNS, *map(_top5_column, numbers)]
    rows = []
    for *line, top1, top5 in PAPER:
        line = ["paper", *line, "50,000", top1]
        rows.append(line + _at(PAPER_CLASSES, top5, numbers))
    for result in results:
        top5 = f"{100 * result['top5_error']:.2f} %"
        rows.append(_our_row(result) + _at(result.get("classes", 0), top5, numbers))
    note = NOTE + OF_FEWER * any(0 < n < PAPER_CLASSES for n in numbers)
    return Table("Figure 4: single crop, crops, ensemble", columns, rows, note)


def _top5_column(classes: int) -> str:
    return f"Top-5 error, {f'{classes:,}' if classes else 'unknown'} classes"


def _at(classes: int, cell: str, numbers: Sequence[int]) -> list[str]:
    """Returns the cell where its number of classes stands, and "-" at the others."""
    return [cell if number == classes else "-" for number in numbers]


def _our_row(result: dict) -> list[str]:
    members = result["members"]
    name = members[0] if len(members) == 1 else f"ensemble of {len(members)}"
    kind = result["statistics"]
    batches = result.get("population_batches")
    kind = KINDS.get(kind, kind) + (f", N = {batches}" if batches else "")
    kind = kind if result.get("bn", True) else "no BN"  # not in early records
    if steps := result.get("steps"):
        kind += f"; {' or '.join(f'{n:,}' for n in sorted(set(steps)))} steps"
    return [
        "ours",
        f"{result['folder'] + ': ' if result['folder'] else ''}{name} ({kind})",
        str(result.get("image_size", "-")),
        str(result["crops"]),
        str(len(members)),
        f"{result['count']:,}",
        f"{100 * result['top1_error']:.2f} %",
    ]
