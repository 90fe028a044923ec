r"""Sec. 1 and 3.3: which initial weight scales train, with and without BN.

Claim    with BN the network depends less on the scale of its initial parameters.
Run      python scripts/sweep.py --config configs/mnist_init_sweep.py \
             --workdir runs/mnist_init_sweep
Draw     python scripts/report.py --workdir runs/mnist_init_sweep
Cost     42 runs of 27 to 80 s on one core of an x86-64 CPU each, jax 0.12.0.1,
         other programs running beside: 14 minutes on two cores.
Result   with BN all scales train, to between 94.9 and 97.7 %; without, 0.001 and 0.003
         end at 72.8 and 87.5 %, and the best scale at 96.8 %. Steps to 90 %: 833 to
         10,500 with BN, 3,000 to never without. See results/mnist_init_sweep.

Network, steps and batch are those of configs/mnist.py, the learning rate is 0.1, ten
times as high: at 0.01 the plain network is still improving after 50,000 steps at its
best scale, and a scale that merely slows it would look like one that fails.
"""

from configs import common, mnist, mnist_lr_sweep

SCALES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS = range(3)

RUNS = {
    f"{arm}_std{scale:g}_seed{seed}": {
        **overrides,
        "model.init_stddev": scale,
        "seed": seed,
    }
    for scale in SCALES
    for seed in SEEDS
    for arm, overrides in mnist.ARMS.items()
}

OF_ALL = {"experiment": "mnist_init_sweep", "optimizer.learning_rate": 0.1}
get_config = common.getter(mnist_lr_sweep.get_base, RUNS, "bn_std0.1_seed0", OF_ALL)
