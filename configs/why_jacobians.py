r"""Sec. 3.3: the singular values of the layers' Jacobians.

Claim    a conjecture: BN may lead the layer Jacobians to have singular values close to
         1, which preserves gradient magnitudes.
Run      python scripts/sweep.py --config configs/why_jacobians.py \
             --workdir runs/why_jacobians
Draw     python scripts/report.py --workdir runs/why_jacobians
Cost     40 runs of 24 s (median; 90 % within 148 s) on an x86-64 core each.
Result   from a deviation of 0.1, after 1,000 steps, 59 % of the last layer's are within
         1/2 and 2 with BN, 3 % without; the least are near 0 everywhere.
         See results/why_jacobians and results/README.md.
"""

from configs import common, mnist

ARMS = {
    f"{norm}_std{scale:g}": {**overrides, "model.init_stddev": scale}
    for scale in (0.01, 0.1, 0.3, 1.0)
    for norm, overrides in mnist.ARMS.items()
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    config = common.short_mnist("why_jacobians", steps=1_000)
    config.probe.log_spaced = 6
    config.probe.measures = ("jacobian",)
    return config


get_config = common.getter(get_base, RUNS, "bn_std0.1_seed0")
