"""Whether the inputs of the nonlinearities are sparse (Sec. 4.2.1, last remark)."""

import numpy as np

from bn_repro.run_folder.records import Run


def zero_share(run: Run) -> float:
    """Returns the share of the nonlinearities' inputs at zero, at the last probe.

    Of each layer the share in the bin that holds zero, less the mean share of the bins
    beside it: 0 for a smooth density, s if a share s of the inputs is zero. Median over
    layers; NaN without a probe.
    """
    probes = run.activations
    if "input_histogram" not in (probes or {}) or not len(probes["steps"]):
        return np.nan
    ends = zip(probes["input_histogram"][-1], probes["input_range"][-1], strict=True)
    return float(np.median([_zero_share(*layer) for layer in ends]))


def _zero_share(histogram: np.ndarray, ends: np.ndarray) -> float:
    """Returns the excess of the bin around zero of [bins] between `ends` [2]."""
    low, high = map(float, ends)
    bins = len(histogram)
    if not low < high:
        return float(low == 0)  # one value only
    place = -low / (high - low) * bins
    if not 0 <= place <= bins:
        return 0.0
    excess = []
    for z in {int(np.clip(place + nudge, 0, bins - 1)) for nudge in (-1e-3, 1e-3)}:
        beside = [histogram[i] for i in (z - 1, z + 1) if 0 <= i < bins]
        excess.append(histogram[z] - np.mean(beside))
    return max(0.0, float(max(excess)))
