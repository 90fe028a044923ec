r"""Sec. 3.3: the scale of the weights, and what it does to the step.

Claim    BN((aW)u) = BN(Wu), and the gradient of aW is 1/a of W's: larger weights take
         smaller steps, so that high learning rates stabilise themselves.
Run      python scripts/sweep.py --config configs/why_weight_scale.py \
             --workdir runs/why_weight_scale
Draw     python scripts/report.py --workdir runs/why_weight_scale
Cost     25 runs of 24 s (median; 90 % within 38 s) on an x86-64 core each.
Result   rates 3,000 times apart, 0.01 and 30, end with norms of 10 and 171 in the last
         layer, and so move its direction at rates 10 times apart.
         See results/why_weight_scale and results/README.md.
"""

from configs import common

RATES = (0.01, 0.1, 1.0, 10.0, 30.0)
ARMS = {
    f"bn_lr{rate:g}": {"model.norm": "batch_norm", "optimizer.learning_rate": rate}
    for rate in RATES
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    return common.short_mnist("why_weight_scale", steps=5_000)


get_config = common.getter(get_base, RUNS, "bn_lr1_seed0")
