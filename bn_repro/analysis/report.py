"""The report on a folder of runs: figure, tables and one self-contained page."""

import base64
import html
import json
import os
from pathlib import Path
from typing import NamedTuple

from bn_repro import files, records
from bn_repro.analysis import arms, claims, figures, tables
from bn_repro.analysis.figures import Drawing
from bn_repro.analysis.tables import Table
from bn_repro.errors import UserError
from bn_repro.records import Run

TABLES = "tables.md"
PAGE = "report.html"

# The figure is drawn on white and keeps its white ground in the dark.
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#ccc, #555);
  --head: light-dark(#f2f2f2, #2a2a2a); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; background: light-dark(#fff, #181818);
  color: light-dark(#1a1a1a, #e6e6e6); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
figure { margin: 1rem 0; } figcaption, .note { font-size: .9rem; }
img { width: 100%; height: auto; background: #fff; border-radius: 4px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top; }
th { background: var(--head); }
pre { overflow-x: auto; font-size: .8rem; background: var(--head); padding: .8rem; }
"""


class Report(NamedTuple):
    """What a report consists of.

    Attributes:
      title: what it is about.
      notes: what is missing, unfinished, unreadable or left out; a sentence each.
      drawing: the figure, None if the runs have none.
      tables: in the order shown.
      runs: all readable runs.
    """

    title: str
    notes: list[str]
    drawing: Drawing | None
    tables: list[Table]
    runs: list[Run]

    def markdown(self) -> str:
        """Returns title, notes, figure and tables as Markdown."""
        parts = [f"## {self.title}\n"]
        if self.drawing:
            parts.append(
                f"![Figure 1]({self.drawing.png.name})\n\n{self.drawing.caption}\n"
            )
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes) + "\n")
        return "\n".join(parts + [table.markdown() for table in self.tables])

    def html(self) -> str:
        """Returns one page that needs no other file and no network."""
        title = html.escape(self.title)
        notes = "".join(f"<li>{html.escape(note)}</li>\n" for note in self.notes)
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"<h1>{title}</h1>\n"
            + (f"<ul>\n{notes}</ul>\n" if notes else "")
            + (_figure(self.drawing) if self.drawing else "")
            + "\n".join(table.html() for table in self.tables)
            + _details(self.runs)
            + "</body>\n</html>\n"
        )


def write_report(
    workdir: str | os.PathLike, out: str | os.PathLike | None = None
) -> tuple[Report, list[Path]]:
    """Draws the figure, writes tables.md and report.html; returns report and files.

    Args:
      workdir: a run folder, or a folder with runs below it in any state.
      out: folder to write to; default `workdir`.

    Raises:
      UserError: there is no run to read, or `out` cannot be written.
    """
    runs, notes = load(workdir)
    out = Path(out or workdir)
    with files.naming(out, "write"):
        out.mkdir(parents=True, exist_ok=True)
    report = _compose(Path(workdir), runs, notes, out)
    files.write_atomically(out / TABLES, report.markdown().encode())
    files.write_atomically(out / PAGE, report.html().encode())
    drawn = [report.drawing.png, report.drawing.pdf] if report.drawing else []
    return report, [*drawn, out / TABLES, out / PAGE]


def load(workdir: str | os.PathLike) -> tuple[list[Run], list[str]]:
    """Returns the readable runs at or below workdir, and a note on each other one."""
    runs, notes = [], []
    for name, folder in records.find_run_folders(workdir).items():
        try:
            runs.append(records.read_run(folder, name))
        except UserError as error:
            notes.append(f"Left out: {error}")
    if not runs:
        why = notes[0] if notes else f"there is no run in or below {workdir}"
        raise UserError(
            f"{why}; train one with scripts/train.py --workdir {workdir}/NAME"
        )
    return runs, notes


def runs_table(runs: list[Run]) -> Table:
    """Returns one row a run: how it stands, and on what it ran for how long."""
    rows = []
    for run in runs:
        manifest = run.manifest
        seconds = run.metrics[-1].get("seconds") if run.metrics else None
        rate = manifest.get("images_per_second")
        rows.append(
            [
                run.name,
                tables.status_text(run),
                f"{seconds:,.0f} s" if seconds is not None else "-",
                f"{rate:,.0f}" if rate else "-",
                ", ".join(manifest.get("devices", [])) or "-",
                str(manifest.get("threads", "-")),
                _revision(manifest),
            ]
        )
    columns = ["Run", "Status", "Time", "Images/s", "Devices", "Threads", "Revision"]
    note = "A revision with + had changes that were not committed."
    return Table("Runs", columns, rows, note)


def config_table(runs: list[Run]) -> Table | None:
    """Returns the keys that differ between runs, one row a run; None if none does."""
    keys = tables.varying_keys(run.config for run in runs)
    if not keys:
        return None
    rows = []
    for run in runs:
        flat = records.stated(run.config)
        rows.append([run.name, *(str(flat.get(key, "-")) for key in ["seed", *keys])])
    return Table("Differences of configuration", ["Run", "seed", *keys], rows)


def _compose(workdir: Path, runs: list[Run], notes: list[str], out: Path) -> Report:
    selected = arms.figure1(runs)
    drawing, shown = None, []
    if selected.plain or selected.bn:
        drawing = figures.figure1(selected, out)
        shown = [claims.figure1_table(selected)]
        notes = notes + _missing(selected, workdir)
    shown += [tables.results_table(runs), tables.drift_table(runs)]
    shown += [runs_table(runs), config_table(runs)]
    title = f"Batch Normalization: {workdir.resolve().name}"
    return Report(title, notes, drawing, [t for t in shown if t and t.rows], runs)


def _missing(selected: arms.Figure1, workdir: Path) -> list[str]:
    notes = [
        f"Missing: no run {claims.ARMS[key]}; train it with python scripts/train.py "
        f"--config configs/mnist.py:{key} --workdir {workdir}/{key}_seed0"
        for key in ("plain", "bn")
        if getattr(selected, key) is None
    ]
    unfinished = [
        f"{run.name} ({tables.status_text(run)})"
        for arm in selected[:2]
        for run in (arm.runs if arm else ())
        if run.status["status"] != "finished"
    ]
    if unfinished:
        notes.append(f"Not finished: {', '.join(unfinished)}")
    if selected.left_out:
        names = ", ".join(run.name for run in selected.left_out)
        notes.append(f"Not in Figure 1, of other settings: {names}")
    return notes


def _revision(manifest: dict) -> str:
    revision = manifest.get("git_revision") or "-"
    return revision[:10] + ("+" if manifest.get("git_dirty") else "")


def _figure(drawing: Drawing) -> str:
    image = base64.b64encode(drawing.png.read_bytes()).decode()
    return (
        "<figure>\n"
        '<img alt="Figure 1: test accuracy against training steps with and without BN, '
        'and percentiles of the inputs to one sigmoid" '
        f'src="data:image/png;base64,{image}">\n'
        f"<figcaption>{html.escape(drawing.caption)}</figcaption>\n</figure>\n"
    )


def _details(runs: list[Run]) -> str:
    parts = ["<h2>Manifest and configuration of each run</h2>\n"]
    for run in runs:
        both = {"manifest": run.manifest, "status": run.status, "config": run.config}
        text = html.escape(json.dumps(both, indent=2))
        name = html.escape(run.name)
        parts.append(
            f"<details><summary>{name}</summary>\n<pre>{text}</pre>\n</details>\n"
        )
    return "".join(parts)
