"""Fig. 1 as a table: what the paper claims beside what our runs show."""

import numpy as np

from bn_repro.analysis import arms, convergence, intervals, tables
from bn_repro.analysis.arms import Arm
from bn_repro.analysis.layers import drift, drift_table
from bn_repro.analysis.tables import Table

BOTH = "model.norm=none, batch_norm"
ARMS = {"bn": "with BN", "plain": "without BN"}


def figure1_table(selected: arms.Figure1) -> Table:
    """Returns what Sec. 4.1 and Fig. 1 claim beside what our runs show."""
    rows = [_throughout(selected), _head_start(selected)]
    for key, statistics, by in (
        ("bn", "ema", " (moving averages)"),
        ("bn", "population", " (Algorithm 2)"),
        ("bn", "batch", " (mini-batch statistics)"),
        ("plain", "ema", ""),
    ):
        arm = getattr(selected, key)
        if statistics == "ema" or (
            arm and arms.curve(arm, "test", statistics, "accuracy")
        ):
            rows.append(_final(key, arm, statistics, by))
    rows += [_gap(selected.bn)] if selected.bn else []
    both = [arm for arm in (selected.plain, selected.bn) if arm]
    windows = drift_table.windows([run for arm in both for run in arm.done()])
    rows += [
        _last_layer(selected, measure, start, over)
        for measure in ("location", "scale")
        for start, over in zip(drift_table.FROM_STEPS, windows, strict=True)
    ]
    return Table(
        "Figure 1: the paper's claims and our runs",
        ["Claim", "Paper", "Ours", "Seeds", "Config"],
        rows,
        f"{_settings(selected)} Mean ± standard deviation over the seeds that "
        "finished. The paper prints no numbers for this experiment. Less drift: yes or "
        f"no, or a tie, by its difference over seeds. {intervals.NOTE}",
    )


def _throughout(selected: arms.Figure1) -> list[str]:
    claim = f"BN is more accurate throughout the training{_at_rate(selected)}"
    claim = [claim, "Fig. 1a: yes"]
    if not (selected.plain and selected.bn):
        return [*claim, "needs both networks", "-", "-"]
    above, total = throughout(selected)
    ours = f"at {above:,} of {total:,} evaluations after step 0, seed by seed"
    return [*claim, ours, _seeds(selected), BOTH]


def throughout(selected: arms.Figure1) -> tuple[int, int]:
    """Returns at how many evaluations after step 0 BN is higher, and of how many.

    Seed by seed, of the seeds that finished in both arms; those that are there, while
    none has.
    """
    return convergence.higher_at(selected.bn.shown(), selected.plain.shown())


def _at_rate(selected: arms.Figure1) -> str:
    """Returns ", at rate 0.01", or both rates where they differ."""
    both = [(ARMS[key], getattr(selected, key)) for key in ("plain", "bn")]
    rates = {name: arms.learning_rate(arm) for name, arm in both if arm}
    if len(set(rates.values())) == 1:
        return f", at rate {next(iter(rates.values()))}"
    return ", at rate " + " and ".join(f"{rate} {name}" for name, rate in rates.items())


def _head_start(selected: arms.Figure1) -> list[str]:
    claim = ["BN reaches the other network's final accuracy sooner", "Sec. 4.1: yes"]
    if not (selected.plain and selected.bn):
        return [*claim, "needs both networks", "-", "-"]
    final = arms.final_values(selected.plain, "test", "ema", "accuracy")
    curve = arms.curve(selected.bn, "test", "ema", "accuracy")
    if not final.size or curve is None:
        return [*claim, "unfinished", _seeds(selected), BOTH]
    reached = curve.steps[curve.mean >= final.mean()]
    total = selected.plain.steps
    ours = f"after {reached[0]:,} of {total:,} steps" if reached.size else "not reached"
    return [*claim, ours, _seeds(selected), BOTH]


def _final(key: str, arm: Arm | None, statistics: str, by: str) -> list[str]:
    claim = f"Test accuracy at the end, {ARMS[key]}{by}"
    if arm is None:
        return [claim, "not printed", f"missing: no run {ARMS[key]}", "-", "-"]
    values = arms.final_values(arm, "test", statistics, "accuracy")
    ours = tables.percent(values) if values.size else "unfinished"
    return [claim, "not printed", ours, _finished_seeds(arm), _config(arm)]


def _gap(arm: Arm) -> list[str]:
    ema, batch = (
        arms.final_values(arm, "test", statistics, "accuracy")
        for statistics in ("ema", "batch")
    )
    claim = "Moving averages stand in for mini-batch statistics: difference at the end"
    same = ema.size and ema.size == batch.size
    points = tables.mean_text(100 * (ema - batch), signed=True) if same else ""
    ours = f"{points} points" if points else "unfinished"
    return [claim, "not printed", ours, _finished_seeds(arm), _config(arm)]


def _last_layer(
    selected: arms.Figure1, measure: str, start: int, over: drift.Window | None
) -> list[str]:
    claim = f"Last hidden layer: less {measure} drift with BN, from step {start:,} on"
    claim = [claim, "Fig. 1b, 1c: yes"]
    if over is None:
        return [*claim, "no two probes there", _seeds(selected), BOTH]
    both = {"plain": selected.plain, "bn": selected.bn}
    found = {
        key: drift_table.last_layer(arm.done(), measure, over) if arm else {}
        for key, arm in both.items()
    }
    texts = [
        f"{ARMS[key]} {tables.mean_text([*medians.values()])}"
        if medians
        else f"{ARMS[key]} missing"
        for key, medians in found.items()
    ]
    ours = _verdict(**found) + ", ".join(texts)
    return [*claim, ours, _seeds(selected), BOTH]


def _verdict(plain: dict[tuple, float], bn: dict[tuple, float]) -> str:
    values = [*plain.values(), *bn.values()]
    if not (plain and bn and np.isfinite(values).all()):
        return ""
    found = intervals.between(plain, bn)
    if found.rule == "binomial":  # of one seed, whose drift is no share of pictures
        return ""
    if found.is_tie:
        return "a tie: "
    return "yes: " if found.mean > 0 else "no: "


def _seeds(selected: arms.Figure1) -> str:
    """Returns the seeds of both arms that count, apart where they differ."""
    both = {"bn": selected.bn, "plain": selected.plain}
    texts = {key: Arm(key, arm.shown()).seed_text() for key, arm in both.items() if arm}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{key} {text}" for key, text in texts.items())


def _finished_seeds(arm: Arm) -> str:
    done = arm.done()
    few = f" ({len(done)} finished)" if len(done) < len(arm.runs) else ""
    return arm.seed_text() + few


def _config(arm: Arm) -> str:
    return f"model.norm={arm.config['model']['norm']}"


def _settings(selected: arms.Figure1) -> str:
    flat = (selected.bn or selected.plain).runs[0].stated
    hidden = ", ".join(map(str, flat["model.hidden"]))
    return (
        f"All runs: hidden layers {hidden} of {flat['model.nonlinearity']} units, "
        f"{flat['steps']:,} steps of {flat['batch_size']} examples"
        f"{_at_rate(selected)}."
    )
