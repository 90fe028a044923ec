"""Tables of text as Markdown and HTML, what their cells say, and that of results."""

import dataclasses
import html
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bn_repro.analysis import arms
from bn_repro.analysis.arms import Arm
from bn_repro.run_folder import configuration
from bn_repro.run_folder.records import Run

# What BN normalises with, in words.
STATISTICS = {
    "batch": "mini-batch statistics",
    "ema": "moving averages",
    "population": "Algorithm 2's statistics",
}
LONGEST = 48  # characters of an arm's label; a longer one is the run's name instead
VALUE_NAMES = {"limit=0": "all examples"}


@dataclasses.dataclass
class Table:
    """A table of text, rendered as Markdown or HTML."""

    title: str  # one line
    columns: list[str]  # their headings
    rows: list[list[str]]  # as many cells each
    note: str = ""  # what a reader needs to read the cells, one paragraph

    @classmethod
    def of(cls, title: str, rows: Sequence[Mapping[str, str]], note="") -> "Table":
        """Returns a table of rows that are column -> cell, ordered as in the first."""
        columns = list(rows[0]) if rows else []
        return cls(title, columns, [[row[c] for c in columns] for row in rows], note)

    def markdown(self) -> str:
        """Returns title, table and note as Markdown."""
        table = markdown(self.columns, self.rows)
        return f"### {self.title}\n\n{table}\n" + (
            f"\n{self.note}\n" if self.note else ""
        )

    def html(self) -> str:
        """Returns title, table and note as HTML."""
        head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in self.columns)
        body = "\n".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in self.rows
        )
        note = f"<p>{html.escape(self.note)}</p>\n" if self.note else ""
        return (
            f"<h2>{html.escape(self.title)}</h2>\n"
            '<div class="wide"><table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
            f"</table></div>\n{note}"
        )


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells below their columns' headings as a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def results_table(runs: Sequence[Run]) -> Table:
    """Returns one row an arm: its configuration, status, final and best accuracy."""
    found = arms.group(runs)
    keys = varying_keys(arm.config for arm in found)
    rows = []
    for arm in found:
        best = [run.series(arm.held_out, "ema", "accuracy")[1] for run in arm.done()]
        final, exact = (
            percent(arms.final_values(arm, arm.held_out, statistics, "accuracy"))
            for statistics in ("ema", "population")
        )
        rows.append(
            {
                "Runs": arm.label,
                **value_texts(arm.runs[0], keys),
                "Seeds": arm.seed_text(),
                "Status": _statuses(arm),
                "Final accuracy": final,
                "Best accuracy": percent([np.fmax.reduce(v) for v in best if v.size]),
                "Final accuracy, Algorithm 2": exact,
            }
        )
    if all(row["Final accuracy, Algorithm 2"] == "-" for row in rows):
        for row in rows:  # older runs did not evaluate with it
            del row["Final accuracy, Algorithm 2"]
    note = "Accuracy on held-out data with moving averages, mean ± standard deviation "
    return Table.of("Results", rows, note + "over the seeds that finished.")


def varying_keys(configs: Iterable[dict]) -> list[str]:
    """Returns the dotted keys, but the seed, that differ between configurations."""
    configs = list(configs)
    keys: dict[str, None] = {}
    for config in configs[1:]:
        keys |= dict.fromkeys(configuration.differing_keys(configs[0], config))
    return [key for key in keys if key != "seed"]


def percent(values: Sequence[float]) -> str:
    """Returns "97.95 ± 0.10 %" for fractions, "97.95 %" for one, "-" for none."""
    text = mean_text(100 * np.asarray(values, float))
    return text if text == "-" else f"{text} %"


def status_text(run: Run) -> str:
    """Returns how a run stands, in words."""
    status, step = run.status["status"], run.status.get("step", 0)
    total = run.config.get("steps", 0)
    if status == "finished":
        return f"finished, {step:,} steps"
    if status == "diverged":
        return f"diverged at step {run.status.get('first_bad_step', step):,}"
    if status == "running":
        return f"running, or killed, at step {step:,} of {total:,}"
    message = " ".join(run.status.get("message", "").split())
    return f"{status} at step {step:,} of {total:,}" + (message and f": {message}")


def layers_of(run: Run) -> list[str]:
    """Returns the layers whose activations were recorded."""
    return run.activations["layers"] if run.activations else []


def value_text(value) -> str:
    """Returns a configuration value as text, "-" for None."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def value_texts(run: Run, keys: Iterable[str]) -> dict[str, str]:
    """Returns key -> a run's value as text."""
    return {key: value_text(run.stated.get(key)) for key in keys}


def mean_text(values: Sequence[float], signed: bool = False, digits: int = 2) -> str:
    """Returns "1.23 ± 0.04", without the deviation for one value, "-" for none.

    NaN values are left out; infinite ones are those of dead units, and counted.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not values.size:
        return "-"
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "dead"
    text = f"{finite.mean():{'+' if signed else ''}.{digits}f}"
    if finite.size > 1:
        text += f" ± {finite.std(ddof=1):.{digits}f}"
    dead = values.size - finite.size
    return text + (f" (dead in {dead} of {values.size})" if dead else "")


def _statuses(arm: Arm) -> str:
    """Returns "5 of 5 finished" and how the others stand."""
    done = arm.done()
    others = [status_text(run) for run in arm.runs if run not in done]
    return "; ".join([f"{len(done)} of {len(arm.runs)} finished", *others])


def labels(runs: Sequence[Run], keys: Sequence[str]) -> list[str]:
    """Returns what distinguishes runs but for `keys`: "With BN", key=value, or both.

    Of long ones the runs' names instead.
    """
    varying = varying_keys(run.config for run in runs)
    varying = [key for key in varying if key not in keys]
    others = [key for key in varying if key not in configuration.NORM_KEYS]
    norms = others != varying or not others
    texts = []
    for run in runs:
        cells = value_texts(run, others)
        parts = [f"{key.split('.')[-1]}={value}" for key, value in cells.items()]
        named = [VALUE_NAMES.get(part, part) for part in parts]
        texts.append(", ".join([*named, *[arms.norm_name(run.norm)] * norms]))
    is_long = any(len(text) > LONGEST for text in texts)
    return [arms.label(run) for run in runs] if is_long else texts
