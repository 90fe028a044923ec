r"""Sec. 3.3, 4.2: which learning rates train Inception, with and without BN.

Claim    "it was possible to train" the network with BN at 5 and 30 times Inception's
         learning rate; without BN it fails at 5 times.
Data     100 ImageNet classes at 64x64, as in configs/tiny_imagenet.py.
Run      python scripts/sweep.py --config configs/tiny_imagenet_lr_sweep.py \
             --workdir runs/tiny_imagenet_lr_sweep \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Draw     python scripts/report.py --workdir runs/tiny_imagenet_lr_sweep
Cost     32 minutes on two cores of an x86-64 CPU, jax 0.12.0.1, tests running beside: 4
         to 8 minutes of one core a run that does not diverge.
Result   with BN 1, 5, 30 and 100 times Inception's rate train, without 1 and 5 times;
         at 30 and 100 times Inception stays at chance, beyond it diverges. Best of each
         arm, at 5 times: 3.94 % with BN, 2.92 % without, +1.02 +- 0.71 points (95 %,
         of the pictures alone). See
         results/tiny_imagenet_lr_sweep.

The arms differ in BN alone: those of inception and bn_baseline, with none of the seven
changes of Sec. 4.2.1. The runs are older than the lengths, crops and decays of
configs/tiny_imagenet.py and keep their own: 1,500 steps, the decay not compressed.
"""

from configs import common, imagenet, tiny_imagenet

ARMS = {"inception": {}, "bn_baseline": imagenet.WITH_BN}
FACTORS = (1, 5, 30, 100, 300, 1_000)  # times Inception's; 5 and 30 are the paper's
INCEPTION_RATE = 0.0015

RUNS = {
    f"{arm}_x{factor}": {
        **overrides,
        "optimizer.learning_rate": round(factor * INCEPTION_RATE, 6),
    }
    for factor in FACTORS
    for arm, overrides in ARMS.items()
}


def get_base():
    """Returns Inception at reduced scale for 1,500 steps."""
    config = tiny_imagenet.get_base()
    config.experiment = "tiny_imagenet_lr_sweep"
    config.steps = 1_500
    config.log_every = 100
    config.data.crop_area = (0.08, 1.0)
    config.optimizer.decay_epochs = 8.0
    config.eval.every = 125
    config.eval.early_every = 0
    config.eval.early_until = 0
    config.eval.population_batches_during = 0
    config.probe.steps = ()
    config.probe.log_spaced = 12
    config.probe.bins = 32
    return config


get_config = common.getter(get_base, RUNS, "bn_baseline_x30")
