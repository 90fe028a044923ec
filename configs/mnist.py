"""Sec. 4.1, Fig. 1: activations over time, with and without Batch Normalization.

Claim    the network with BN is more accurate throughout, and the distribution of the
         input to its sigmoids stays far more stable.
Run      make figure1
         python scripts/train.py --config configs/mnist.py:bn --workdir runs/mnist/bn
All      python scripts/sweep.py --config configs/mnist.py --workdir runs/mnist
Cost     45 s a run on one core of an x86-64 CPU, jax 0.10.1.
Result   20 seeds: 95.43 +- 0.12 % with BN, 90.87 +- 0.24 % without; results/mnist.
"""

from configs import common

ARMS = {"plain": {"model.norm": "none"}, "bn": {"model.norm": "batch_norm"}}
SEEDS = range(20)

RUNS = common.with_seeds(ARMS, SEEDS)


def get_base():
    """Returns the defaults, and the accuracy with Algorithm 2's statistics."""
    config = common.get_config()
    config.eval.population_batches_during = 50
    return config


get_config = common.getter(get_base, RUNS, "bn_seed0", arms=ARMS)
