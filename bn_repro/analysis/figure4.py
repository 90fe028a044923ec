"""Fig. 4 and the statistics of BN as tables, from what scripts/evaluate.py wrote."""

import os
from collections.abc import Sequence
from pathlib import Path

from bn_repro.analysis.tables import Table
from bn_repro.run_folder import checks
from bn_repro.run_folder.records import read_checked

# Rows of Fig. 4: model, resolution, crops, models, top-1 and top-5 error.
COLUMNS = ("", "Model", "Resolution", "Crops", "Models", "Top-1 error", "Top-5 error")
COLUMNS += ("Pictures",)
PAPER = (
    ("GoogLeNet ensemble", "224", "144", "7", "-", "6.67 %"),
    ("Deep Image low-res", "256", "-", "1", "-", "7.96 %"),
    ("Deep Image high-res", "512", "-", "1", "24.88 %", "7.42 %"),
    ("Deep Image ensemble", "variable", "-", "-", "-", "5.98 %"),
    ("BN-Inception single crop", "224", "1", "1", "25.2 %", "7.82 %"),
    ("BN-Inception multicrop", "224", "144", "1", "21.99 %", "5.82 %"),
    ("BN-Inception ensemble", "224", "144", "6", "20.1 %", "4.9 %"),
)
KINDS = {
    "batch": "training mode: the mini-batch's own",
    "ema": "moving averages",
    "population": "Algorithm 2",
}


def read(folder: str | os.PathLike) -> list[dict]:
    """Returns the evaluation_*.json below a folder, those of fewer views first."""
    rows = []
    for file in sorted(Path(folder).rglob("evaluation_*.json")):
        below = file.parent.relative_to(folder).as_posix()
        rows.append(
            {"folder": "" if below == "." else below}
            | read_checked(file, checks.evaluation)
        )
    return sorted(rows, key=lambda row: (len(row["members"]), row["crops"]))


def read_statistics(folder: str | os.PathLike) -> list[dict]:
    """Returns the statistics_*.json below a folder."""
    found = sorted(Path(folder).rglob("statistics_*.json"))
    return [read_checked(file, checks.comparison) for file in found]


def figure4_table(results: Sequence[dict]) -> Table:
    """Returns the paper's Fig. 4 with our evaluations below it."""
    rows = [["paper", *line, "50,000"] for line in PAPER]
    rows += [_our_row(result) for result in results]
    title = "Figure 4: single crop, crops, ensemble"
    return Table(title, list(COLUMNS), rows, _note(results))


def statistics_table(results: Sequence[dict]) -> Table:
    """Returns accuracy by what BN normalises with, one row a network and kind.

    Of statistics_*.json, which revisions before 0.1.0 wrote.
    """
    rows = []
    for result in results:
        for row in result["rows"]:
            kind = row["statistics"]
            rows.append(
                {
                    "Network": result["member"],
                    "Statistics": KINDS.get(kind, kind),
                    "Batches N": str(row["batches"]) if kind == "population" else "-",
                    "Variance": _variance(kind, row.get("biased")),
                    "Accuracy": f"{100 * row['accuracy']:.2f} %",
                    "Loss": f"{row['loss']:.4f}",
                    "Pictures": f"{row['count']:,}",
                }
            )
    return Table.of(
        "Statistics of the inference network",
        rows,
        "Algorithm 2 averages mu and m / (m - 1) s2 (unbiased), or s2 (biased), over N "
        "training mini-batches with frozen parameters.",
    )


def _variance(kind: str, biased: bool | None) -> str:
    if kind == "batch" or biased is None:
        return "-"
    return "biased" if biased else "unbiased"


def _our_row(result: dict) -> list[str]:
    members = result["members"]
    name = members[0] if len(members) == 1 else f"ensemble of {len(members)}"
    kind = result["statistics"]
    batches = result.get("population_batches")
    kind = KINDS.get(kind, kind) + (f", N = {batches}" if batches else "")
    return [
        "ours",
        f"{result['folder'] + ': ' if result['folder'] else ''}{name} ({kind})",
        str(result.get("image_size", "-")),
        str(result["crops"]),
        str(len(members)),
        f"{100 * result['top1_error']:.2f} %",
        f"{100 * result['top5_error']:.2f} %",
        f"{result['count']:,}",
    ]


def _note(results: Sequence[dict]) -> str:
    classes = sorted({result["classes"] for result in results if "classes" in result})
    ours = f" Ours: {', '.join(map(str, classes))} classes." if classes else ""
    return (
        "The paper's top-5 error of the ensemble is 4.82 % on the test server, over "
        "100,000 pictures. GoogLeNet and Deep Image are as the paper cites them." + ours
    )
