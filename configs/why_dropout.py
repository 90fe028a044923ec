r"""Sec. 3.4: BN and dropout as regularisers.

Claim    with BN dropout can be removed or reduced in strength.
Run      python scripts/sweep.py --config configs/why_dropout.py \
             --workdir runs/why_dropout
Draw     python scripts/report.py --workdir runs/why_dropout
Cost     80 runs of 4 s (median; 90 % within 9 s) on an x86-64 core each.
Result   with BN and 60,000 examples 96.5 % without dropout, 93.0 % with half; with
         2,000 examples 83.2 % without, 86.0 % with a tenth.
         See results/why_dropout and results/README.md.

With 2,000 examples the test set is its first 2,000 pictures, too.
"""

from configs import common, mnist

ARMS = {
    f"{norm}_dropout{rate:g}_of{limit}": {
        **overrides,
        "model.dropout": rate,
        "data.limit": limit % 60_000,  # 0: all
    }
    for limit in (2_000, 60_000)
    for rate in (0.0, 0.1, 0.25, 0.5)
    for norm, overrides in mnist.ARMS.items()
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    config = common.short_mnist("why_dropout", steps=3_000)
    config.model.nonlinearity = "relu"
    config.eval.every = 1_000
    config.eval.train = True
    config.probe.log_spaced = 0
    return config


get_config = common.getter(get_base, RUNS, "bn_dropout0_of2000_seed0")
