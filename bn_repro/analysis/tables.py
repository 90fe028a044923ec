"""Tables drawn from run folders, as Markdown and HTML: results and drift."""

import dataclasses
import html
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from bn_repro.analysis import arms, convergence
from bn_repro.analysis.arms import Arm
from bn_repro.analysis.layers import drift
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run

FROM_STEPS = (0, 5_000)  # drift is reported from both on
MOST_LAYERS = 16  # with a row each in the table of drift


@dataclasses.dataclass
class Table:
    """A table of text, rendered as Markdown or HTML.

    Attributes:
      title: one line.
      columns: their headings.
      rows: as many cells each.
      note: what a reader needs to read the cells, one paragraph.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        """Returns title, table and note as Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
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


def results_table(runs: Sequence[Run]) -> Table:
    """Returns one row an arm: its configuration, status, final and best accuracy."""
    found = arms.group(runs)
    keys = varying_keys(arm.config for arm in found)
    rows = []
    for arm in found:
        flat = arm.runs[0].stated
        split = held_out(arm)
        best = [run.series(split, "ema", "accuracy")[1] for run in arm.done()]
        rows.append(
            [
                arm.label,
                *(value_text(flat.get(key)) for key in keys),
                arm.seed_text(),
                _statuses(arm),
                percent(arms.final_values(arm, split, "ema", "accuracy")),
                percent([np.fmax.reduce(values) for values in best if values.size]),
                percent(arms.final_values(arm, split, "population", "accuracy")),
            ]
        )
    columns = ["Runs", *keys, "Seeds", "Status", "Final accuracy", "Best accuracy"]
    columns += ["Final accuracy, Algorithm 2"]
    if all(row[-1] == "-" for row in rows):  # older runs did not evaluate with it
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    note = "Accuracy on held-out data with moving averages, mean ± standard deviation "
    note += "over the seeds that finished."
    return Table("Results", columns, rows, note)


def held_out(arm: Arm) -> str:
    """Returns the split that an arm was evaluated on: "val", or else "test"."""
    return "val" if arms.curve(arm, "val", "ema", "accuracy") else "test"


def drift_table(runs: Sequence[Run]) -> Table:
    """Returns location and scale drift, from FROM_STEPS on where that was recorded.

    Over the steps that all finished runs cover. One row a layer and arm; of networks
    with more than MOST_LAYERS one row an arm, with the median over its layers.
    """
    found = arms.group(runs)
    probed = [run for arm in found for run in arm.done()]
    windows = list(filter(None, drift_windows(probed)))
    layers = list(dict.fromkeys(name for run in probed for name in layers_of(run)))
    summed = len(layers) > MOST_LAYERS
    groups = {f"all {len(layers)}": layers} if summed else {n: [n] for n in layers}
    rows = []
    for name, members in groups.items():
        for arm in found:
            drifts = [_drifts(arm, members, over) for over in windows]
            if any(not np.isnan(d).all() for d in drifts):
                cells = [
                    _drift_cell(d[:, measure]) for measure in (0, 1) for d in drifts
                ]
                rows.append([name, arm.label, *cells])
    columns = [
        f"{measure} drift, step {over.first:,.0f} to {over.last:,.0f}"
        for measure in ("Location", "Scale")
        for over in windows
    ]
    of_what = "all layers' recorded units" if summed else "the layer's units"
    return Table(
        "Drift of the inputs to the nonlinearities",
        ["Layer", "Runs", *columns],
        rows,
        "Location drift: (max - min of a unit's median over time) / (mean of its 15-85 "
        "percentile spread over time). Scale drift: ln(largest / smallest spread). "
        f"Both at {drift.POINTS} equally distant steps, between probes by "
        "interpolation, so that they do not depend on when the probes were. Median "
        f"over {of_what} [quartiles], means over the seeds that finished ± standard "
        "deviation of the median. Dead: the spread is below "
        f"{100 * drift.DEAD:g} % of the median's size, on average (location) or at "
        "some step (scale): the layer tells no examples apart.",
    )


def drift_windows(runs: Sequence[Run]) -> list[drift.Window | None]:
    """Returns the steps over which these runs' drift is comparable, per FROM_STEPS."""
    every = [run.activations for run in runs]
    return [drift.window(every, start) for start in FROM_STEPS]


def varying_keys(configs: Iterable[dict]) -> list[str]:
    """Returns the dotted keys, but the seed, that differ between configurations."""
    configs = list(configs)
    keys: dict[str, None] = {}
    for config in configs[1:]:
        keys |= dict.fromkeys(records.differing_keys(configs[0], config))
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


def layer_drifts(arm: Arm, layer: str, over: drift.Window) -> np.ndarray:
    """Returns [finished runs, location and scale, median and quartiles over units]."""
    return _drifts(arm, [layer], over)


def last_layer(
    runs: Sequence[Run], measure: str, over: drift.Window | None
) -> dict[tuple, float]:
    """Returns `convergence.by_seed` of the median drifts of the last layer's units.

    Args:
      runs: of one arm; those that recorded the last layer of most of them count.
      measure: "location" or "scale".
      over: the steps, see `drift_windows`.
    """
    probed = [run for run in runs if drift.has_percentiles(run.activations)]
    if not probed or over is None:
        return {}
    last = Counter(layers_of(run)[-1] for run in probed).most_common(1)[0][0]
    able = [run for run in probed if last in layers_of(run)]
    column = ("location", "scale").index(measure)
    medians = layer_drifts(Arm("", able), last, over)[:, column, 0]
    return convergence.by_seed(able, medians)


def mean_text(values: np.ndarray, signed: bool = False) -> str:
    """Returns "1.23 ± 0.04", without the deviation for one value, "-" for none.

    NaN values are left out; infinite ones are those of dead units, and counted.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return "-"
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "dead"
    text = f"{finite.mean():{'+' if signed else ''}.2f}"
    if finite.size > 1:
        text += f" ± {finite.std(ddof=1):.2f}"
    dead = values.size - finite.size
    return text + (f" (dead in {dead} of {values.size})" if dead else "")


def _statuses(arm: Arm) -> str:
    """Returns "5 of 5 finished" and how the others stand."""
    done = arm.done()
    others = [status_text(run) for run in arm.runs if run not in done]
    return "; ".join([f"{len(done)} of {len(arm.runs)} finished", *others])


def _drifts(arm: Arm, layers: Sequence[str], over: drift.Window) -> np.ndarray:
    """Returns [finished runs, location and scale, median and quartiles over units]."""
    rows = []
    for run in arm.done():
        measured = [
            drift.unit_drifts(run.activations, layer, over=over)
            for layer in layers
            if layer in layers_of(run) and drift.has_percentiles(run.activations)
        ]
        if measured:
            both = zip(*measured, strict=True)
            rows.append([drift.quartiles(np.concatenate(units)) for units in both])
    return np.asarray(rows, float).reshape(-1, 2, 3)


def _drift_cell(values: np.ndarray) -> str:
    """Returns "1.20 ± 0.10 [0.90, 1.60]" of [runs, (median, lower, upper)]."""
    median = mean_text(values[:, 0])
    if median in ("-", "dead"):
        return median
    ends = [values[np.isfinite(values[:, i]), i] for i in (1, 2)]
    lower, upper = (f"{x.mean():.2f}" if x.size else "dead" for x in ends)
    return f"{median} [{lower}, {upper}]"
