r"""Sec. 2: what descent does when it does not know of the normalisation.

Claim    with the statistics outside the gradient step a bias before the normalisation
         grows without bound while the loss stays; worse where the layer also scales.
Run      python scripts/sweep.py --config configs/why_naive_gradient.py \
             --workdir runs/why_naive_gradient
Draw     python scripts/report.py --workdir runs/why_naive_gradient
Cost     20 runs of 12 s (median; 90 % within 15 s) on an x86-64 core each.
Result   see results/why_naive_gradient and results/README.md.

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
