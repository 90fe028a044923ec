r"""Sec. 3.3: which learning rates train the network of Fig. 1, with and without BN.

Claim    BN makes training resilient to the parameter scale and so enables higher
         learning rates, at which a network without it explodes or stays where it is.
Run      python scripts/sweep.py --config configs/mnist_lr_sweep.py \
             --workdir runs/mnist_lr_sweep
One      python scripts/train.py --config configs/mnist_lr_sweep.py:bn_lr0.1_seed0 \
             --workdir runs/mnist_lr_sweep/bn_lr0.1_seed0
Draw     python scripts/report.py --workdir runs/mnist_lr_sweep
Cost     60 runs of 25 to 54 s on one core of an x86-64 CPU each, jax 0.12.0.1: 36
         minutes of one, in two parts.
Result   trainable from 0.003 to 30, the largest tried, with BN, from 0.01 to 3 without;
         best of each arm 97.73 +- 0.10 % and 97.42 +- 0.25 %, a tie, as BN leads by
         0.31 +- 0.37 points (95 % t interval over three seeds; twenty decide it, see
         configs/mnist_best_rates.py). At 0.003: 91.8 % and 72.8 %.
         BN is ahead at 300 of 300 evaluations at rates up to 0.03, at 237 at 1 and at
         199 at 3. From step 5,000 on the scale drift of the last layer is no less with
         BN at 1 (0.39) than without at 3 (0.35). See results/mnist_lr_sweep.

Network, steps and batch are those of configs/mnist.py. A rate is trainable if the final
test accuracy is at least 0.9 on every seed.
"""

from configs import common, mnist

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SEEDS = range(3)

RUNS = {
    f"{arm}_lr{rate:g}_seed{seed}": {
        **overrides,
        "optimizer.learning_rate": rate,
        "seed": seed,
    }
    for rate in RATES
    for seed in SEEDS
    for arm, overrides in mnist.ARMS.items()
}


def get_base():
    """Returns the network of Fig. 1 with records small enough for many runs."""
    config = common.get_config()
    config.experiment = "mnist_lr_sweep"
    config.log_every = 2_500
    config.eval.batch_statistics = False
    config.probe.every = 0
    config.probe.log_spaced = 12
    config.probe.units = 50
    return config


get_config = common.getter(get_base, RUNS, "bn_lr0.1_seed0")
