"""The claim ledger: what README claims, each number by one function from the records.

`CLAIMS` is the list; a claim reads the runs of one folder below results/ and is
"missing" without them. README holds the headline between two marker lines, which
`python scripts/report.py --claims --out README.md` writes anew.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import (
    arms,
    convergence,
    figure1_table,
    figure3_claims,
    intervals,
    networks,
    tables,
    why,
)
from bn_repro.analysis.convergence import LAST
from bn_repro.analysis.intervals import NO, OPEN, YES, Finding
from bn_repro.analysis.layers import drift_table
from bn_repro.analysis.networks import Network
from bn_repro.analysis.sweep import comparison_tables
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
BEGIN = "<!-- claims: python scripts/report.py --claims --out README.md -->"
END = "<!-- /claims -->"
COLUMNS = ["Claim", "Paper", "Ours", "n", "95 % interval", "Verdict"]
NOT_PRINTED = "not printed"
BOTH = ("none", "batch_norm")


class Claim(NamedTuple):
    """A claim and the function that asks the records about it."""

    text: str
    paper: str  # the paper's number, or where it says so
    folder: str  # of the runs, below results/; the config that made them has its name
    # function of all runs of the folder, at least one, to what they say
    find: Callable[[list[Run]], Finding]
    headline: bool = True  # whether it stands in README


class Entry(NamedTuple):
    """A claim, what the records say to it, and the command that makes them say so."""

    claim: Claim
    finding: Finding
    command: str


def entries(results: str | os.PathLike = RESULTS) -> list[Entry]:
    """Returns the ledger of the records below the folder `results`.

    Raises:
      UserError: a record cannot be read.
    """
    runs: dict[str, list[Run]] = {}
    found = []
    for claim in CLAIMS:
        if claim.folder not in runs:
            folder = Path(results) / claim.folder
            runs[claim.folder] = records.find_runs(folder) if folder.is_dir() else []
        found.append(_entry(claim, runs[claim.folder]))
    return found


def table(ledger: Sequence[Entry]) -> Table:
    """Returns the whole ledger, with the commands."""
    rows = [[*_cells(entry), entry.command] for entry in ledger]
    return Table("Claims", [*COLUMNS, "Command"], rows, NOTE)


def headline(ledger: Sequence[Entry]) -> str:
    """Returns what stands between the markers in README, as Markdown."""
    rows = [_cells(entry) for entry in ledger if entry.claim.headline]
    return tables.markdown(COLUMNS, rows)


def _cells(entry: Entry) -> list[str]:
    return [entry.claim.text, entry.claim.paper, *entry.finding]


def _entry(claim: Claim, runs: list[Run]) -> Entry:
    folder = claim.folder
    finding = claim.find(runs) if runs else intervals.missing(f"configs/{folder}.py")
    command = f"python scripts/report.py --workdir results/{folder}"
    if finding.verdict == intervals.MISSING:
        command = f"python scripts/sweep.py --config configs/{folder}.py"
        command += f" --workdir runs/{folder}"
    return Entry(claim, finding, command)


def _figure3(claim: figure3_claims.Claim, runs: list[Run]) -> Finding:
    return figure3_claims.answer(claim, networks.find(runs)[0])


def _mnist(check: Callable[..., Finding], norms: Sequence[str] = BOTH) -> Callable:
    """Returns a claim about the networks of Fig. 1 with these `model.norm`."""

    def find(runs: list[Run]) -> Finding:
        selected = [arm.runs for arm in arms.of_figure1(runs)[:2] if arm]
        found, _ = networks.find([run for members in selected for run in members])
        by_norm = {network.config["model"]["norm"]: network for network in found}
        if missing := [norm for norm in norms if norm not in by_norm]:
            return intervals.missing(f"model.norm={', '.join(missing)}")
        return check(*(by_norm[norm] for norm in norms))

    return find


def _throughout(runs: list[Run]) -> Finding:
    """At every evaluation of every seed: yes."""
    selected = arms.of_figure1(runs)
    if not (selected.plain and selected.bn):
        return intervals.missing("both networks")
    above, total = figure1_table.throughout(selected)
    rate = arms.learning_rate(selected.bn)
    ours = f"at {above:,} of {total:,} evaluations, seed by seed, at rate {rate}"
    seeds = [{run.config["seed"] for run in arm.shown()} for arm in selected[:2]]
    n = len(seeds[0] & seeds[1])
    verdict = (YES if above == total else NO) if total and n > 1 else OPEN
    return Finding(ours, str(n), "-", verdict)


def _accuracy(network: Network) -> Finding:
    found = intervals.mean(network.ends)
    shown = f"{found.text(100)} %" if np.isfinite(found.low) else "-"
    return Finding(tables.percent(network.ends), str(len(network.sound)), shown, "-")


def _less_drift(measure: str, runs: list[Run], since: int = 0) -> Finding:
    """By the median over the units of the last hidden layer; `since`: of FROM_STEPS."""
    both = [arm for arm in arms.of_figure1(runs)[:2] if arm]
    over = drift_table.windows([run for arm in both for run in arm.done()])[since]
    found = [drift_table.last_layer(arm.done(), measure, over) for arm in both]
    if len(found) != 2 or not all(found):
        return intervals.missing("both networks with probes")
    without, with_bn = (tables.mean_text([*medians.values()]) for medians in found)
    ours = f"{without} without, {with_bn} with BN"
    return intervals.of_difference(ours, found, intervals.between(*found), 1, "less")


def _more_accurate(plain: Network, bn: Network) -> Finding:
    """At the end, by the difference of the seeds' accuracies."""
    ends = [
        convergence.by_seed([course.run for course in network.sound], network.ends)
        for network in (plain, bn)
    ]
    if not all(ends):
        return intervals.missing("both networks with an accuracy")
    ours = "; ".join(
        f"{network.label} {tables.percent(network.ends)} at rate "
        f"{network.config['optimizer']['learning_rate']:g}"
        for network in (plain, bn)
    )
    found = intervals.between(*ends[::-1])
    return intervals.of_difference(ours, ends, found, 100, "points")


CLAIMS = (
    Claim(
        "BN is more accurate throughout",
        "Fig. 1a: yes",
        "mnist",
        _throughout,
    ),
    Claim(
        "BN reaches the plain network's accuracy in fewer steps",
        "Fig. 1a: yes",
        "mnist",
        _mnist(figure3_claims.faster(1)),
    ),
    Claim(
        "Accuracy at the end with BN",
        NOT_PRINTED,
        "mnist",
        _mnist(_accuracy, ("batch_norm",)),
    ),
    Claim(
        "Accuracy at the end without BN",
        NOT_PRINTED,
        "mnist",
        _mnist(_accuracy, ("none",)),
    ),
    Claim(
        "Location drift of the last hidden layer is less with BN",
        "Fig. 1b, 1c: yes",
        "mnist",
        partial(_less_drift, "location"),
    ),
    Claim(
        "Scale drift of the last hidden layer is less with BN",
        "Fig. 1b, 1c: yes",
        "mnist",
        partial(_less_drift, "scale"),
    ),
    *(
        Claim(claim.text, claim.paper, "tiny_imagenet", partial(_figure3, claim))
        for claim in figure3_claims.CLAIMS
    ),
    Claim(
        "MNIST: more learning rates train with BN",
        "Sec. 3.3: yes",
        "mnist_lr_sweep",
        comparison_tables.more_train,
        headline=False,
    ),
    Claim(
        "MNIST: BN is more accurate at the end, each at its best learning rate",
        NOT_PRINTED,
        "mnist_best_rates",
        _mnist(_more_accurate),
        headline=False,
    ),
    Claim(
        "MNIST: less scale drift with BN from step "
        f"{drift_table.FROM_STEPS[1]:,} on, each at its best learning rate",
        NOT_PRINTED,
        "mnist_best_rates",
        partial(_less_drift, "scale", since=1),
        headline=False,
    ),
    Claim(
        "MNIST: more initial scales train with BN",
        NOT_PRINTED,
        "mnist_init_sweep",
        comparison_tables.more_train,
        headline=False,
    ),
    *(Claim(*claim, headline=False) for claim in why.CLAIMS),
)
NOTE = (
    "n: seeds. Accuracy at the end: mean of the last "
    f"{LAST} evaluations of a seed, mean ± standard deviation over seeds; Algorithm "
    "2's statistics where all seeds recorded them, else moving averages. "
    "Intervals: t over seeds, 95 % each, not adjusted for the number of claims: "
    "Welch's or, on MNIST, of the seeds' differences; of ratios Welch's, on their "
    "logarithms. Steps are to what the slower network ends with. "
    f"{figure3_claims.TARGET_NOTE} A network fails if all its seeds do, and does not "
    "if none does. “not decided”: the interval lies on both sides of the "
    "claim, seeds disagree, or there is one seed."
)
