"""What is due after which steps: records, evaluations, probes, checkpoints."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass
class Event:
    """Something to do after certain steps."""

    steps: np.ndarray  # sorted numbers of steps after which it is due
    action: Callable  # does it

    def next_after(self, step: int) -> float:
        """Returns the first due step after `step`; infinity if there is none."""
        place = np.searchsorted(self.steps, step, side="right")
        return self.steps[place] if place < len(self.steps) else np.inf

    def is_due(self, step: int) -> bool:
        """Returns whether it is due after `step`."""
        return self.next_after(step - 1) == step


def regular_steps(every: int, steps: int) -> np.ndarray:
    """Returns 0, every, 2 every, ... and the last step."""
    return np.union1d(np.arange(0, steps, every), [steps])


def evaluation_steps(evaluation, steps: int) -> np.ndarray:
    """Returns the steps to evaluate at: every so many, at first more often."""
    due = regular_steps(evaluation.every, steps)
    if evaluation.early_every:
        until = min(evaluation.early_until, steps)
        due = np.union1d(due, np.arange(0, until + 1, evaluation.early_every))
    return due


def probe_steps(probe, steps: int) -> np.ndarray:
    """Returns the steps to probe at: regular, listed, logarithmically spaced, or all.

    Logarithmic spacing is 0 and log_spaced - 1 steps from 1 to the last. With the list
    the last step is probed too.
    """
    due = regular_steps(probe.every, steps) if probe.every else np.array([], int)
    if probe.steps:
        due = np.union1d(due, [*(n for n in probe.steps if n < steps), steps])
    if probe.log_spaced:
        spaced = np.round(np.geomspace(1, steps, max(probe.log_spaced - 1, 1)))
        due = np.union1d(due, np.append(0, spaced.astype(int)))
    return due


def forced_records(config, step: int) -> list[str]:
    """Returns which kinds of records are due at a step only as the run ends there."""
    if step != config.steps:
        return []
    longer = 2 * step
    regular = {
        "train": regular_steps(config.log_every, longer),
        "eval": evaluation_steps(config.eval, longer),
        "probe": probe_steps(config.probe, longer),
    }
    return [kind for kind, steps in regular.items() if step not in steps]
