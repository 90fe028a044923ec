r"""Sec. 3.2 varied: nonlinearity, where BN stands, depth and dropout, on MNIST.

Claim    BN stands before the nonlinearity, whose output "is likely to change" its
         distribution (Sec. 3.2); it lets saturating nonlinearities train and can take
         the place of dropout (Sec. 3.4). The paper shows none of this on MNIST.
Run      python scripts/sweep.py --config configs/mnist_variations.py \
             --workdir runs/mnist_variations
Draw     python scripts/report.py --workdir runs/mnist_variations
Cost     42 runs on one core of an x86-64 CPU each, jax 0.12.0.1: 29 to 103 s with
         three hidden layers, 58 to 98 s with eight, other programs running beside;
         20 minutes on two cores.
Result   eight sigmoid layers train with BN only (97.5 %, chance without): at first the
         gradient of the first layer is 0.00006 of the last one's without BN, 0.9 with
         it. BN after the sigmoid is faster still than before it, and the end is the
         same. With ReLU BN gains 0.32 +- 0.11 points (95 % t interval over seeds), with
         tanh BN or not is a tie. Dropout of a half costs more than it gives in so small
         a network. See results/mnist_variations.

Steps and batch are those of configs/mnist.py; the learning rate is 0.1, so that the
plain network comes to its end within the steps too. Three sigmoid layers hardly let the
gradient vanish, so one arm has eight.
"""

from configs import common, mnist_lr_sweep

NONLINEARITIES = ("sigmoid", "tanh", "relu")
NORMS = {
    "none": {"model.norm": "none"},
    "before": {"model.norm": "batch_norm"},
    "after": {"model.norm": "batch_norm", "model.norm_placement": "after"},
}
SEEDS = range(3)

ARMS = {
    f"{nonlinearity}_{name}": {"model.nonlinearity": nonlinearity, **norm}
    for nonlinearity in NONLINEARITIES
    for name, norm in NORMS.items()
}
ARMS |= {
    f"deep_{name}": {"model.hidden": (100,) * 8, **norm} for name, norm in NORMS.items()
}
# Without dropout these are sigmoid_none and sigmoid_before.
ARMS |= {
    f"dropout_{name}": {"model.dropout": 0.5, **NORMS[name]}
    for name in ("none", "before")
}

RUNS = common.with_seeds(ARMS, SEEDS)

OF_ALL = {"experiment": "mnist_variations", "optimizer.learning_rate": 0.1}
get_config = common.getter(
    mnist_lr_sweep.get_base, RUNS, "sigmoid_before_seed0", OF_ALL
)
