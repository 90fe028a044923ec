r"""Sec. 1 and 2: internal covariate shift as a change of gradients.

Claim    BN reduces internal covariate shift. Santurkar et al. (2018) measure it as the
         change of a layer's gradient when the layers before it take their step, and
         find no less of it with BN.
Run      python scripts/sweep.py --config configs/why_gradient_change.py \
             --workdir runs/why_gradient_change
Draw     python scripts/report.py --workdir runs/why_gradient_change
Cost     20 runs of 60 s (median; 90 % within 104 s) on an x86-64 core each.
Result   at rate 0.1 it changes more with BN: the last hidden layer's by 0.103 of its
         norm, without by 0.027 (medians over training); at rate 1, and at the end of
         both, there is no difference that five seeds decide.
         See results/why_gradient_change and results/README.md.
"""

from configs import common, mnist

ARMS = {
    f"{norm}_lr{rate:g}": {**overrides, "optimizer.learning_rate": rate}
    for rate in (0.1, 1.0)
    for norm, overrides in mnist.ARMS.items()
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    config = common.short_mnist("why_gradient_change", steps=2_000)
    config.probe.measures = ("gradient_change",)
    return config


get_config = common.getter(get_base, RUNS, "bn_lr0.1_seed0")
