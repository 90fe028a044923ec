"""The report on a folder of runs: figures, tables and one self-contained page."""

import collections
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import arms, intake, report_parts, tables
from bn_repro.analysis.arms import Arm
from bn_repro.analysis.layers import drift_table
from bn_repro.analysis.page import page
from bn_repro.analysis.style import Drawing
from bn_repro.analysis.sweep import comparison
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import files
from bn_repro.run_folder.records import Run

TABLES = "tables.md"
PAGE = "report.html"
SHOWN = 3  # arms that the summary names


class Report(NamedTuple):
    """What a report consists of."""

    title: str  # what it is about
    # what is missing, unfinished, unreadable or left out; a sentence each
    notes: list[str]
    drawings: list[Drawing]  # the figures, in the order shown
    tables: list[Table]  # in the order shown
    runs: list[Run]  # all readable runs

    def markdown(self) -> str:
        """Returns title, notes, figures and tables as Markdown."""
        parts = [f"## {self.title}\n"]
        parts += [
            f"![{drawing.title}]({drawing.png.name})\n\n"
            f"**{drawing.title}.** {drawing.caption}\n"
            for drawing in self.drawings
        ]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes) + "\n")
        return "\n".join(parts + [table.markdown() for table in self.tables])

    def summary(self) -> str:
        """Returns at most five lines: how the runs stand, the most accurate, notes."""
        stand = collections.Counter(run.status["status"] for run in self.runs)
        states = ", ".join(f"{number} {status}" for status, number in stand.items())
        title = self.title.partition(": ")[2]
        lines = [f"{title}: {len(self.runs)} run(s), {states}"]
        accurate = [(_final(arm), arm) for arm in arms.group(self.runs)]
        accurate = [(values, arm) for values, arm in accurate if values.size]
        accurate.sort(key=lambda found: -found[0].mean())
        lines += [
            f"  {arm.label}, seed {arm.seed_text()}: {arm.held_out} accuracy "
            f"{tables.percent(values)} at the last step"
            for values, arm in accurate[:SHOWN]
        ]
        if self.notes:
            more = len(self.notes) - 1
            rest = f"; {more} more in {TABLES}" if more else ""
            lines.append(f"  {self.notes[0]}{rest}")
        return "\n".join(lines)


def write_report(
    workdir: str | os.PathLike,
    out: str | os.PathLike | None = None,
    viewer_runs: Sequence[str] = (),
    target: str | float | None = None,
    watched: str = "",
) -> tuple[Report, list[Path]]:
    """Draws the figures, writes tables.md and report.html; returns report and files.

    Args:
      workdir: a run folder, or a folder with runs below it in any state.
      out: folder to write to; default `workdir`.
      viewer_runs: whose single units the page keeps; see `page_units.select`.
      target: accuracy to count steps to, see `networks.find_goal`; default by
        experiment, see `comparison.find_target`.
      watched: as in `page.render`.

    Raises:
      UserError: there is no run to read, `out` cannot be written, or `viewer_runs` or
        `target` names a run that is not there.
    """
    runs, notes = intake.load(workdir)
    out = Path(out or workdir)
    with files.naming(out, "write"):
        out.mkdir(parents=True, exist_ok=True)
    report = _compose(Path(workdir), runs, notes, out, target)

    def render(kept: list[Run]) -> str:
        shown = report._replace(runs=kept)
        return page.render(*shown, viewer_runs, target, watched)

    text, odd = intake.without_odd("the page", render, report.runs)
    report = report._replace(notes=report.notes + odd)
    files.write_atomically(out / TABLES, report.markdown().encode())
    drawn = [path for drawing in report.drawings for path in drawing[:2]]
    if text is None:
        return report, [*drawn, out / TABLES]
    files.write_atomically(out / PAGE, text.encode())
    return report, [*drawn, out / TABLES, out / PAGE]


def runs_table(runs: list[Run]) -> Table:
    """Returns one row a run: how it stands, and on what it ran for how long."""
    rows = []
    for run in runs:
        manifest = run.manifest
        seconds = run.metrics[-1].get("seconds") if run.metrics else None
        rate = manifest.get("images_per_second")
        rows.append(
            {
                "Run": run.name,
                "Status": tables.status_text(run),
                "Time": f"{seconds:,.0f} s" if seconds is not None else "-",
                "Images/s": f"{rate:,.0f}" if rate else "-",
                "Devices": ", ".join(manifest.get("devices", [])) or "-",
                "Threads": str(manifest.get("threads", "-")),
                "Revision": _revision(manifest),
            }
        )
    note = "A revision with + had changes that were not committed."
    return Table.of("Runs", rows, note)


def _final(arm: Arm) -> np.ndarray:
    """Returns the accuracy on held-out data at the end of each finished run [n]."""
    split = arm.held_out
    exact, ema = (
        arms.final_values(arm, split, statistics, "accuracy")
        for statistics in ("population", "ema")
    )
    return exact if exact.size == len(arm.done()) else ema


def _compose(
    workdir: Path,
    runs: list[Run],
    notes: list[str],
    out: Path,
    target: str | float | None,
) -> Report:
    if sweep := comparison.find_sweep(runs):
        runs = sweep.runs()
    part = report_parts.compose(report_parts.Given(workdir, runs, sweep, out, target))
    shown, notes = [*part.tables], notes + part.notes
    for make in (tables.results_table, drift_table.drift_table, runs_table):
        table, odd = intake.without_odd(make.__name__, make, runs)
        shown += [table] if table and table.rows else []
        notes += odd
    title = f"Batch Normalization: {workdir.resolve().name}"
    return Report(title, notes, part.drawings, shown, runs)


def _revision(manifest: dict) -> str:
    revision = manifest.get("git_revision") or "-"
    return revision[:10] + ("+" if manifest.get("git_dirty") else "")
