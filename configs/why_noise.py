r"""Sec. 1: is it the stable distribution that helps? Noise after BN.

Claim    BN helps as it keeps distributions stable. Santurkar et al. (2018) add noise
         of another mean and scale at every step after BN, and find training as good.
Run      python scripts/sweep.py --config configs/why_noise.py --workdir runs/why_noise
Draw     python scripts/report.py --workdir runs/why_noise
Cost     20 runs of 10 s (median; 90 % within 18 s) on an x86-64 core each.
Result   92.4 % with noise of 0.5 after BN, 92.6 % without it, 87.1 % without BN.
         See results/why_noise and results/README.md.

The noise is `bn.noise`: every unit's normalised input is scaled by e^s and shifted by
m, both uniform in -0.5 to 0.5 and drawn again at every step; not while evaluating.
"""

from configs import common

NORMS = {
    "plain": {"model.norm": "none"},
    "bn": {"model.norm": "batch_norm"},
    "bn_noise0.25": {"model.norm": "batch_norm", "bn.noise": 0.25},
    "bn_noise0.5": {"model.norm": "batch_norm", "bn.noise": 0.5},
}
RUNS = common.with_seeds(NORMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    config = common.short_mnist("why_noise", steps=3_000)
    config.probe.measures = ("gradient_change",)
    return config


get_config = common.getter(get_base, RUNS, "bn_noise0.5_seed0")
