r"""Sec. 3: gamma and beta can undo the normalisation; what training does to them.

Claim    gamma = sqrt(Var[x]), beta = E[x] recover the original activations.
Run      python scripts/sweep.py --config configs/why_gamma_beta.py \
             --workdir runs/why_gamma_beta
Draw     python scripts/report.py --workdir runs/why_gamma_beta
Cost     15 runs of 5 s (median; 90 % within 9 s) on an x86-64 core each.
Result   after 3,000 steps gamma is 1.36 in the last sigmoid layer, 1.05 in the first;
         beta is 0.04 to 0.10 (root mean square).
         See results/why_gamma_beta and results/README.md.
"""

from configs import common

ARMS = {
    g: {"model.norm": "batch_norm", "model.nonlinearity": g}
    for g in ("sigmoid", "tanh", "relu")
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    return common.short_mnist("why_gamma_beta", steps=3_000)


get_config = common.getter(get_base, RUNS, "sigmoid_seed0")
