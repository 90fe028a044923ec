"""Fig. 1 as a table: what the paper claims beside what our runs show."""

from collections.abc import Sequence

from bn_repro.analysis import arms, tables
from bn_repro.analysis.arms import Arm
from bn_repro.analysis.tables import Table

STATISTICS = {
    "ema": "moving averages",
    "population": "Algorithm 2",
    "batch": "mini-batch statistics",
}
BOTH = "model.norm=none, before"
ARMS = {"bn": "with BN", "plain": "without BN"}


def figure1_table(selected: arms.Figure1) -> Table:
    """Returns what Sec. 4.1 and Fig. 1 claim beside what our runs show."""
    rows = [_throughout(selected), _head_start(selected)]
    for key, statistics in (
        ("bn", "ema"),
        ("bn", "population"),
        ("bn", "batch"),
        ("plain", "ema"),
    ):
        arm = getattr(selected, key)
        if statistics == "ema" or (
            arm and arms.curve(arm, "test", statistics, "accuracy")
        ):
            rows.append(_final(key, arm, statistics))
    rows += [_gap(selected.bn)] if selected.bn else []
    rows += [
        _last_layer(selected, measure, start)
        for measure in ("location", "scale")
        for start in tables.FROM_STEPS
    ]
    return Table(
        "Figure 1: the paper's claims and our runs",
        ["Claim", "Paper", "Ours", "Seeds", "Config"],
        rows,
        f"{_settings(selected.bn or selected.plain)} Mean ± standard deviation over "
        "the seeds that finished. The paper prints no numbers for this experiment. The "
        "binomial standard error of an accuracy of 95 % on 10,000 images is 0.22 "
        "points.",
    )


def _throughout(selected: arms.Figure1) -> list[str]:
    claim = ["BN is more accurate throughout the training", "Fig. 1a: yes"]
    if not (selected.plain and selected.bn):
        return [*claim, "needs both networks", "-", "-"]
    above, total = _above([selected.bn], [selected.plain])
    ours = f"at {above} of {total} evaluations after step 0"
    pairs = _pairs(selected)
    if len(pairs) > 1:
        above, total = _above(*zip(*pairs, strict=True))
        ours = f"mean over seeds: {ours}; seed by seed: at {above:,} of {total:,}"
    return [*claim, ours, _seeds(selected), BOTH]


def _pairs(selected: arms.Figure1) -> list[tuple[Arm, Arm]]:
    """Returns the BN and the plain run of each seed, as arms of one run."""
    plain = dict(zip(selected.plain.seeds, selected.plain.runs, strict=True))
    return [
        (Arm(run.name, [run]), Arm(plain[seed].name, [plain[seed]]))
        for seed, run in zip(selected.bn.seeds, selected.bn.runs, strict=True)
        if seed in plain
    ]


def _above(bn: Sequence[Arm], plain: Sequence[Arm]) -> tuple[int, int]:
    """Returns at how many common evaluations after step 0 BN is higher; of how many."""
    above = total = 0
    for one, other in zip(bn, plain, strict=True):
        curves = [arms.curve(arm, "test", "ema", "accuracy") for arm in (one, other)]
        if None in curves:
            continue
        ours, theirs = (dict(zip(c.steps, c.mean, strict=True)) for c in curves)
        common = [step for step in ours if step > 0 and step in theirs]
        above += sum(ours[step] > theirs[step] for step in common)
        total += len(common)
    return above, total


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


def _final(key: str, arm: Arm | None, statistics: str) -> list[str]:
    by = f" ({STATISTICS[statistics]})" if key == "bn" else ""
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
    ours = (
        f"{tables.mean_text(100 * (ema - batch), signed=True)} points"
        if same
        else "unfinished"
    )
    return [claim, "not printed", ours, _finished_seeds(arm), _config(arm)]


def _last_layer(selected: arms.Figure1, measure: str, start: int) -> list[str]:
    claim = f"Last hidden layer: less {measure} drift with BN, from step {start:,} on"
    shown = []
    for key in ("plain", "bn"):
        arm = getattr(selected, key)
        layers = (
            [name for run in arm.runs for name in tables.layers_of(run)] if arm else []
        )
        if not layers:
            shown.append(f"{ARMS[key]} missing")
            continue
        column = ("location", "scale").index(measure)
        medians = tables.layer_drifts(arm, layers[-1], start)[:, column, 0]
        shown.append(f"{ARMS[key]} {tables.mean_text(medians)}")
    return [claim, "Fig. 1b, 1c: yes", ", ".join(shown), _seeds(selected), BOTH]


def _seeds(selected: arms.Figure1) -> str:
    """Returns the seeds of both arms, apart where they differ."""
    shown = {"bn": selected.bn, "plain": selected.plain}
    texts = {key: arm.seed_text() for key, arm in shown.items() if arm}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{key} {text}" for key, text in texts.items())


def _finished_seeds(arm: Arm) -> str:
    done = arm.done()
    few = f" ({len(done)} finished)" if len(done) < len(arm.runs) else ""
    return arm.seed_text() + few


def _config(arm: Arm) -> str:
    return f"model.norm={arm.config['model']['norm']}"


def _settings(arm: Arm) -> str:
    flat = arm.runs[0].stated
    hidden = ", ".join(map(str, flat["model.hidden"]))
    return (
        f"All runs: hidden layers {hidden} of {flat['model.nonlinearity']} units, "
        f"{flat['steps']:,} steps of {flat['batch_size']} examples, learning rate "
        f"{flat['optimizer.learning_rate']:g}."
    )
