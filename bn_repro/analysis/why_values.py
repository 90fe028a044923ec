"""One number of a run, for the questions of `why`: what probes and metrics say."""

from collections.abc import Callable

import numpy as np

from bn_repro.analysis.layers import drift
from bn_repro.run_folder.records import Run


def probed(field: str, layer: int = -1, at: int = -1) -> Callable[[Run], float]:
    """Returns the function of a run to a field of its probe `at`, of one layer."""

    def value(run: Run) -> float:
        found = over_steps(run, field)
        return np.nan if found is None else float(found[at, layer])

    return value


def of_layers(field: str, at: int = -1) -> Callable[[Run], float]:
    """Returns the function of a run to the mean of a field over the layers measured."""

    def value(run: Run) -> float:
        found = over_steps(run, field)
        known = [] if found is None else found[at][np.isfinite(found[at])]
        return float(np.mean(known)) if len(known) else np.nan

    return value


def over_steps(run: Run, field: str) -> np.ndarray | None:
    """Returns a field of a run's probes, [T, L]; None if it was not recorded.

    "effective_rate" is the learning rate over the square of the weights' norm: by it
    the direction of weights that BN normalises moves (Sec. 3.3).
    """
    probes = run.activations or {}
    if field == "effective_rate" and "weight_norm" in probes:
        rate = run.config["optimizer"]["learning_rate"]
        return rate / np.float64(probes["weight_norm"]) ** 2
    return np.float64(probes[field]) if field in probes else None


def recorded(
    split: str, statistics: str, field: str = "accuracy", factor: float = 100.0
) -> Callable[[Run], float]:
    """Returns the function of a run to its last metric of that kind, times a factor."""

    def value(run: Run) -> float:
        found = run.series(split, statistics, field)[1]
        return factor * float(found[-1]) if found.size else np.nan

    return value


def less(one: Callable, other: Callable) -> Callable[[Run], float]:
    """Returns the function of a run to one(run) - other(run)."""
    return lambda run: one(run) - other(run)


def log10(of: Callable) -> Callable[[Run], float]:
    """Returns the function of a run to the decimal logarithm of of(run)."""
    return lambda run: float(np.log10(of(run))) if of(run) > 0 else np.nan


def median_over_time(field: str) -> Callable[[Run], float]:
    """Of the last hidden layer, whenever the probes were.

    At `drift.POINTS` equally distant steps, between probes by interpolation.
    """

    def value(run: Run) -> float:
        found = over_steps(run, field)
        if found is None or len(found) < 2:
            return np.nan
        steps = run.activations["steps"]
        even = np.linspace(steps[0], steps[-1], drift.POINTS)
        return float(np.median(np.interp(even, steps, found[:, -1])))

    return value
