r"""Sec. 3.3: gradients that explode on their way back.

Claim    BN prevents small changes of the parameters from amplifying into large ones of
         gradients in deep networks.
Run      python scripts/sweep.py --config configs/why_explosion.py \
             --workdir runs/why_explosion
Draw     python scripts/report.py --workdir runs/why_explosion
Cost     20 runs of 4 s (median; 90 % within 98 s) on an x86-64 core each.
Result   at twice He's scale the first layer's gradient is 10^2.72 at step 0 without BN,
         and all five runs diverge; it is 10^-0.03 with BN, and all five train.
         See results/why_explosion and results/README.md.
"""

from configs import common, mnist

HE = (2 / 100) ** 0.5  # keeps the size of signals in ReLU layers of 100 units
ARMS = {
    f"{norm}_scale{scale:g}": {**overrides, "model.init_stddev": scale * HE}
    for scale in (1.0, 2.0)
    for norm, overrides in mnist.ARMS.items()
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of eight ReLU layers."""
    config = common.short_mnist("why_explosion", steps=1_000)
    config.model.hidden = (100,) * 8
    config.model.nonlinearity = "relu"
    config.optimizer.learning_rate = 0.01
    config.probe.log_spaced = 6
    return config


get_config = common.getter(get_base, RUNS, "bn_scale2_seed0")
