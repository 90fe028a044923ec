"""The report on a folder of runs: figure, tables and one self-contained page."""

import base64
import html
import json
import os
from pathlib import Path
from typing import NamedTuple

from bn_repro import files, records
from bn_repro.analysis import (
    arms,
    claims,
    comparison,
    comparison_figure,
    comparison_tables,
    convergence,
    figure2,
    figure3,
    figures,
    tables,
)
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


class Part(NamedTuple):
    """What one kind of experiment adds to a report."""

    drawings: list[Drawing]
    tables: list[Table]
    notes: list[str]


class Report(NamedTuple):
    """What a report consists of.

    Attributes:
      title: what it is about.
      notes: what is missing, unfinished, unreadable or left out; a sentence each.
      drawings: the figures, in the order shown.
      tables: in the order shown.
      runs: all readable runs.
    """

    title: str
    notes: list[str]
    drawings: list[Drawing]
    tables: list[Table]
    runs: list[Run]

    def markdown(self) -> str:
        """Returns title, notes, figure and tables as Markdown."""
        parts = [f"## {self.title}\n"]
        parts += [
            f"![{drawing.title}]({drawing.png.name})\n\n"
            f"**{drawing.title}.** {drawing.caption}\n"
            for drawing in self.drawings
        ]
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
            + "".join(map(_figure, self.drawings))
            + "\n".join(table.html() for table in self.tables)
            + _details(self.runs)
            + "</body>\n</html>\n"
        )


def write_report(
    workdir: str | os.PathLike, out: str | os.PathLike | None = None
) -> tuple[Report, list[Path]]:
    """Draws the figures, writes tables.md and report.html; returns report and files.

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
    drawn = [path for drawing in report.drawings for path in drawing[:2]]
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
    drawings, shown, notes = [], [], list(notes)
    if sweep := comparison.find_sweep(runs):
        runs = sweep.runs()
    for part in (_figure1_part, _convergence_part, _sweep_part):
        for made, into in zip(
            part(workdir, runs, out), (drawings, shown, notes), strict=True
        ):
            into += made
    shown += [tables.results_table(runs), tables.drift_table(runs)]
    shown += [runs_table(runs), config_table(runs)]
    title = f"Batch Normalization: {workdir.resolve().name}"
    return Report(title, notes, drawings, [t for t in shown if t and t.rows], runs)


def _figure1_part(workdir: Path, runs: list[Run], out: Path) -> Part:
    mnist = [run for run in runs if run.config.get("experiment") == "mnist"]
    selected = arms.figure1(mnist)
    if not (selected.plain or selected.bn):
        return Part([], [], [])
    notes = _missing(selected, workdir)
    drawing = figures.figure1(selected, out)
    return Part([drawing], [claims.figure1_table(selected)], notes)


def _convergence_part(workdir: Path, runs: list[Run], out: Path) -> Part:
    networks = [run for run in runs if run.config["model"]["name"] == "inception"]
    found, left_out = convergence.courses(networks)
    if not found or comparison.find_sweep(networks):
        return Part([], [], [])
    target = convergence.find_target(found)
    shown = [figure3.figure3_table(found, target), figure3.claims_table(found)]
    open_ones = [run for run in networks if run.status["status"] not in records.ENDED]
    notes = _listed("Not finished", open_ones, tables.status_text)
    notes += _listed("Not in Figure 2, of another scale", left_out)
    return Part([figure2.figure2(found, target, out)], shown, notes)


def _sweep_part(workdir: Path, runs: list[Run], out: Path) -> Part:
    sweep = comparison.find_sweep(runs)
    if sweep is None:
        return Part([], [], [])
    target = comparison.find_target(sweep)
    shown = [
        comparison_tables.arms_table(sweep, target),
        comparison_tables.values_table(sweep, target),
    ]
    notes = _listed(f"Not in the sweep of the {sweep.name}", sweep.left_out)
    drawing = comparison_figure.sweep_figure(sweep, target, out)
    return Part([drawing], shown, notes)


def _listed(what: str, runs: list[Run], detail=None) -> list[str]:
    if not runs:
        return []
    names = (f"{run.name} ({detail(run)})" if detail else run.name for run in runs)
    return [f"{what}: {', '.join(names)}"]


def _missing(selected: arms.Figure1, workdir: Path) -> list[str]:
    notes = [
        f"Missing: no run {claims.ARMS[key]}; train it with python scripts/train.py "
        f"--config configs/mnist.py:{key} --workdir {workdir}/{key}_seed0"
        for key in ("plain", "bn")
        if getattr(selected, key) is None
    ]
    shown = [run for arm in selected[:2] if arm for run in arm.runs]
    open_ones = [run for run in shown if run.status["status"] != "finished"]
    notes += _listed("Not finished", open_ones, tables.status_text)
    return notes + _listed("Not in Figure 1, of other settings", selected.left_out)


def _revision(manifest: dict) -> str:
    revision = manifest.get("git_revision") or "-"
    return revision[:10] + ("+" if manifest.get("git_dirty") else "")


def _figure(drawing: Drawing) -> str:
    image = base64.b64encode(drawing.png.read_bytes()).decode()
    return (
        f'<figure>\n<img alt="{html.escape(f"{drawing.title}: {drawing.alt}")}" '
        f'src="data:image/png;base64,{image}">\n'
        f"<figcaption><b>{html.escape(drawing.title)}.</b> "
        f"{html.escape(drawing.caption)}</figcaption>\n</figure>\n"
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
