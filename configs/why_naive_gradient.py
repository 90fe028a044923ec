r"""Sec. 2: what descent does when it does not know of the normalisation.

Claim    with the statistics outside the gradient step a bias before the normalisation
         grows without bound while the loss stays; worse where the layer also scales.
Run      python scripts/sweep.py --config configs/why_naive_gradient.py \
             --workdir runs/why_naive_gradient
Draw     python scripts/report.py --workdir runs/why_naive_gradient
Cost     20 runs of 12 s (median; 90 % within 15 s) on an x86-64 core each.
Result   at rate 1, after 3,000 steps, b is 6.40 in the first layer with centring alone
         and 2.93 in the last with scaling, too; the loss does not stay: they end at
         10.8 and 14.4 %. In the paper's gradient b is 0, and they end at 95.2 and
         92.4 %.
         See results/why_naive_gradient and results/README.md.

The layer is y = x + b - E[x + b], "center", or that over the standard deviation,
"standardize", without gamma and beta: see bn_repro/naive_norm.py.
"""

from configs import common

ARMS = {
    f"{norm}_{gradient}": {"model.norm": norm, "bn.gradient": gradient}
    for norm in ("center", "standardize")
    for gradient in ("full", "stop")
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    config = common.short_mnist("why_naive_gradient", steps=3_000)
    config.optimizer.learning_rate = 1.0
    return config


get_config = common.getter(get_base, RUNS, "center_stop_seed0")
