r"""Sec. 3.2: saturation, and the shape of what goes into and out of the nonlinearity.

Claim    W u + b "is more likely to have a symmetric, non-sparse distribution, that is
         'more Gaussian'" than what comes out of a nonlinearity: BN stands before it.
Run      python scripts/sweep.py --config configs/why_saturation.py \
             --workdir runs/why_saturation
Draw     python scripts/report.py --workdir runs/why_saturation
Cost     30 runs of 19 s (median; 90 % within 81 s) on an x86-64 core each.
Result   without BN Kolmogorov's distance from a Gaussian is 0.03 of the last sigmoid
         layer's inputs and 0.39 of its outputs; 65 % of the first layer's sigmoids are
         saturated at step 0, with BN before them none.
         See results/why_saturation and results/README.md.
"""

from configs import common, mnist_variations

ARMS = {
    f"{g}_{norm}": {"model.nonlinearity": g, **overrides}
    for g in ("sigmoid", "tanh")
    for norm, overrides in mnist_variations.NORMS.items()
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run from weights of standard deviation 1."""
    config = common.short_mnist("why_saturation", steps=2_000)
    config.model.init_stddev = 1.0
    config.probe.log_spaced = 6
    config.probe.measures = ("shape",)
    return config


get_config = common.getter(get_base, RUNS, "sigmoid_none_seed0")
