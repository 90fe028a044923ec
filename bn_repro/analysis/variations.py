"""BN against no BN, and before against after the nonlinearity, in several settings.

A setting is everything but `model.norm` and the seed: another nonlinearity, depth or
dropout. What is asked of each is the same, so each is a panel and a few rows.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bn_repro.analysis import arms, convergence, intervals, style, tables
from bn_repro.analysis.arms import Arm, Curve
from bn_repro.analysis.layers import drift, layer_signals
from bn_repro.analysis.sweep import comparison, comparison_tables
from bn_repro.analysis.sweep.comparison import Point
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import configuration
from bn_repro.run_folder.records import Run

LEAST_SETTINGS = 2


class Setting(NamedTuple):
    """Arms that differ in `model.norm` only."""

    label: str  # what distinguishes the setting, such as "tanh"
    arms: dict[str, Arm]  # norm -> arm, without BN first; at least two


def find_settings(runs: Sequence[Run]) -> list[Setting]:
    """Returns the settings with at least two norms; [] if fewer than two of them.

    The setting that differs least from the others comes first.
    """
    kept = [setting for setting in arms.settings(runs) if len(setting) > 1]
    if len(kept) < LEAST_SETTINGS:
        return []
    configs = [next(iter(group.values())).config for group in kept]
    settings = []
    for config, group in zip(configs, kept, strict=True):
        parts = [_label(key, config) for key in _differing(configs)]
        by_norm = {norm: group[norm] for norm in sorted(group, key=_norm_place)}
        settings.append(Setting(", ".join(filter(None, parts)), by_norm))
    unusual = [_unusual(config, configs) for config in configs]
    order = sorted(range(len(kept)), key=lambda i: (unusual[i], settings[i].label))
    return [settings[i] for i in order]


def _norm_place(norm: str) -> int:
    name = arms.norm_name(norm)
    return [*style.NORMS, name].index(name)


def point(arm: Arm) -> Point:
    """Returns an arm's runs as a point, for its accuracies and steps."""
    return Point(0.0, [convergence.course(run) for run in arm.runs])


def variations_table(settings: Sequence[Setting], target: float) -> Table:
    """Returns one row a setting and norm."""
    to = f"Steps to {comparison_tables.target_text(target)}"
    rows = [
        {
            "Setting": setting.label,
            "BN": arms.norm_name(norm),
            "Seeds": arm.seed_text(),
            "Final accuracy": comparison_tables.final_text(point(arm)),
            "Training less final, points": _gap(arm),
            to: comparison_tables.steps_text(point(arm), target),
            "Against without BN": _against(arm, setting.arms.get("none")),
            **_signals(arm),
        }
        for setting in settings
        for norm, arm in setting.arms.items()
    ]
    return Table.of(
        "Variations: where BN stands, nonlinearity, depth and dropout",
        rows,
        "Accuracy on held-out data, mean ± standard deviation over seeds. "
        "Training less final: of the last logged mini-batches, mean over seeds. "
        f"{intervals.NOTE} Saturated: share of the nonlinearities' outputs "
        "(for ReLU: zeros), median over layers, mean over seeds. Gradient: norm over "
        "the first layer's weights / over the last one's, geometric mean over seeds; "
        "below 1 it shrinks on its way back.",
    )


@style.styled
def draw_variations(settings: Sequence[Setting]) -> tuple[Figure, str]:
    """Returns curves of the error, a panel a setting, and the caption."""
    columns = min(3, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(3.7 * columns, 2.9 * rows + 0.4))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    lines = _lines([norm for setting in settings for norm in setting.arms])
    for axes, setting in zip(panels, settings, strict=False):
        for norm, arm in setting.arms.items():
            if errors := _errors(arm):
                name = arms.norm_name(norm)
                style.band(axes, errors, lines[name], name)
        if gone := [
            arms.norm_name(norm)
            for norm, arm in setting.arms.items()
            if {run.status["status"] for run in arm.runs} == {"diverged"}
        ]:
            text = f"{', '.join(gone)}: diverged"
            at = {"transform": axes.transAxes, "ha": "right", "va": "top"}
            axes.text(0.98, 0.98, text, fontsize="small", **at)
        axes.set_title(setting.label)
        axes.set_yscale("log", nonpositive="clip")
        style.step_axis(axes, max(arm.steps for arm in setting.arms.values()))
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel("fraction wrong, held out")
    style.legend_below(figure, panels, 3)
    seeds = {arm.seed_text() for setting in settings for arm in setting.arms.values()}
    caption = (
        "Held-out error with moving averages against training steps: mean over seeds "
        f"{' or '.join(sorted(seeds))}, band from lowest to highest."
    )
    return figure, caption


def _lines(norms: Sequence[str]) -> dict[str, style.Line]:
    """Returns how each norm is drawn, by its name."""
    names = sorted(set(map(arms.norm_name, norms)))
    others = [name for name in names if name not in style.NORMS]
    looks = itertools.cycle(style.OTHER_NORMS)
    return style.NORMS | dict(zip(others, looks, strict=False))


def deepest(settings: Sequence[Setting]) -> list[Run]:
    """Returns the first run of each arm of the setting with most layers."""

    def depth(setting: Setting) -> int:
        every = (run for arm in setting.arms.values() for run in arm.runs)
        return max(len(tables.layers_of(run)) for run in every)

    most = max(settings, key=depth)
    return [drift.typical_run(arm.shown()) for arm in most.arms.values()]


def _errors(arm: Arm) -> Curve | None:
    curve = arms.curve(arm, arm.held_out, "ema", "accuracy")
    return curve and Curve(curve.steps, 1 - curve.mean, 1 - curve.low, 1 - curve.high)


def _gap(arm: Arm) -> str:
    """Returns how much more accurate the last logged training mini-batches are."""
    trained = arms.final_values(arm, "train", "batch", "accuracy")
    tested = arms.final_values(arm, arm.held_out, "ema", "accuracy")
    if not trained.size or trained.size != tested.size:
        return "-"
    return f"{100 * (trained - tested).mean():+.2f}"


def _against(arm: Arm, plain: Arm | None) -> str:
    if plain is None or arm is plain:
        return "-"
    pair = point(arm), point(plain)
    if not all(p.final.size for p in pair):
        return "-"
    return comparison.difference(*pair).text()


def _signals(arm: Arm) -> dict[str, str]:
    """Returns saturated share and gradient ratios over the arm's runs as text."""
    probed = [run.activations for run in arm.done() if run.activations]
    probed = [a for a in probed if {"saturated", "gradient_norm"} <= a.keys()]
    texts = ["-"] * 3
    if probed:
        saturated = np.mean([np.median(a["saturated"][-1]) for a in probed])
        ratios = [layer_signals.gradient_ratio(a)[[0, -1]] for a in probed]
        with np.errstate(divide="ignore"):
            means = np.exp(np.log(ratios).mean(axis=0))
        texts = [f"{100 * saturated:.1f} %", *(f"{mean:.2g}" for mean in means)]
    names = ("Saturated at the end", "Gradient, first / last layer: at first")
    return dict(zip((*names, "at the end"), texts, strict=True))


def _differing(configs: list[dict]) -> list[str]:
    """Returns the keys that differ, the nonlinearity before depth and dropout."""
    first = ["model.nonlinearity", "model.hidden", "model.dropout"]
    varying = tables.varying_keys(configs)
    keys = [key for key in varying if key not in configuration.NORM_KEYS]
    return sorted(keys, key=lambda k: first.index(k) if k in first else len(first))


def _unusual(config: dict, configs: list[dict]) -> int:
    """Returns how many keys have another value than most configurations."""
    flat, *flats = map(configuration.stated, [config, *configs])
    values = {key: [str(f.get(key)) for f in flats] for key in _differing(configs)}
    usual = {key: max(found, key=found.count) for key, found in values.items()}
    return sum(str(flat.get(key)) != value for key, value in usual.items())


def _label(key: str, config: dict) -> str:
    value = configuration.stated(config)[key]
    if key == "model.nonlinearity":
        return style.NONLINEARITIES.get(value, value)
    if key == "model.hidden":
        return f"{len(value)} hidden layers"
    if key == "model.dropout":
        return f"dropout {value:g}" if value else ""
    return f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
