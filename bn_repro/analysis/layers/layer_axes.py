"""What figures of layers share: which runs and layers, their names, styles and axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bn_repro.analysis import arms, convergence, style, tables
from bn_repro.analysis.layers import drift
from bn_repro.run_folder.records import Run

MOST_NAMES = 16  # layers whose names an axis can hold
# What a probe records of a layer, in words; other fields go by their own names.
FIELD_NAMES = {
    "gradient_norm": "norm of the weights' gradient",
    "saturated": "share of saturated outputs",
    "weight_norm": "norm of the weights W",
    "effective_rate": "rate / (norm of W)²",
    "shift_rms": "beta (or b), root mean square",
    "scale_rms": "gamma, root mean square",
    "input_distance": "distance of the inputs from a Gaussian",
    "output_distance": "distance of the outputs from a Gaussian",
    "jacobian_median": "median singular value",
    "jacobian_least": "least singular value",
    "jacobian_largest": "largest singular value",
    "jacobian_near_one": "share of singular values in [1/2, 2]",
    "through_median": "median singular value, through the network so far",
    "through_largest": "largest singular value, through the network so far",
    "gradient_change": "change of the gradient, share of its norm",
    "gradient_cosine": "cosine of the gradient before and after",
}


def field_name(field: str) -> str:
    """Returns what a probe's field is, in words."""
    return FIELD_NAMES.get(field, field.replace("_", " "))


def recorded(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs with at least two probes, of whatever percentiles."""
    return [r for r in runs if r.activations and len(r.activations["steps"]) > 1]


def probed(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs with two probes of the percentiles that drift is made of."""
    return [r for r in runs if drift.window([r.activations])]


def all_layers(runs: Sequence[Run]) -> list[str]:
    """Returns the layers of all runs, those of the deepest run first."""
    by_depth = sorted(runs, key=lambda run: -len(tables.layers_of(run)))
    return list(dict.fromkeys(n for run in by_depth for n in tables.layers_of(run)))


def line(run: Run, place: int) -> style.Line:
    """Returns a run's colour and dash: those of Fig. 2, or else by its place."""
    known = style.NETWORKS.get(convergence.network_key(run))
    return known or style.Line(style.SERIES[place % len(style.SERIES)])


def title(run: Run) -> str:
    """Returns the paper's name of a run and its seed, or else its own and its norm."""
    key = convergence.network_key(run)
    if key in convergence.PAPER:
        seed = f", seed {run.config['seed']}" if "seed" in run.config else ""
        return convergence.PAPER[key].name + seed
    norm = arms.norm_name(run.norm).removesuffix(" the nonlinearity")
    rate = f"rate {run.stated['optimizer.learning_rate']:g}"
    return f"{run.name}: {norm.replace('With', 'with')}, {rate}"


def probe_axis(axes: Axes, steps: np.ndarray) -> None:
    """Labels an axis of training steps, logarithmic where the probes are."""
    if is_logarithmic(steps):
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, steps[-1])
        axes.set_xlabel("training steps")
        style.plain(axes)
    else:
        style.step_axis(axes, int(steps[-1]))


def is_logarithmic(steps: Sequence[int]) -> bool:
    """Returns whether the probes crowd at the beginning of the training."""
    return bool(np.median(steps) < 0.25 * steps[-1])


def modules(names: Sequence[str]) -> list[str]:
    """Returns the first layer of each module by the module's name ("3a/1x1": "3a").

    "" stands for the others, and for modules less than three layers from the last.
    """
    every = [name.split("/")[0] for name in names]
    shown: list[str] = []
    for i, name in enumerate(every):
        named = name not in every[:i] and not any(shown[-2:])
        shown.append(name if named else "")
    return shown


def layer_ticks(axis, layers: Sequence[str]) -> None:
    """Labels layers, of many only the first of each module ("3a/1x1": "3a")."""
    rotation = 90 if axis.axis_name == "x" and len(layers) > 4 else 0
    if len(layers) <= MOST_NAMES:
        axis.set_ticks(range(len(layers)), layers, rotation=rotation, fontsize=8)
        return
    named = {i: name for i, name in enumerate(modules(layers)) if name}
    axis.set_ticks([*named], [*named.values()], rotation=rotation, fontsize=8)
