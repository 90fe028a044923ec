r"""Sec. 4.2, Figs. 2 and 3, for one small machine: 64x64 pixels, 100 classes.

Claim    the same as configs/imagenet.py. What this scale cannot show: accuracies of a
         full network, or steps to 72.2 %.
Data     100 ImageNet classes at 64x64: 50,000 training and 5,000 validation pictures.
Run      python scripts/sweep.py --config configs/tiny_imagenet.py \
             --workdir runs/tiny_imagenet --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Cost     10 to 35 minutes a run, two at a time on two cores of an x86-64 CPU that other
         work shared (jax 0.12.0.1); 0.13 s a step with a core to itself, and minutes
         of compiling for each network.
Result   best of 13 evaluations, one seed: Inception 3.04 +- 0.24 %, BN-Baseline 4.38,
         BN-x5 9.38, BN-x30 8.84, BN-x5-Sigmoid 10.14, Inception-x5 4.54 (it trains),
         Inception-Sigmoid 1.00 (chance). Steps to Inception's best: 2,750, 2,500, 500,
         500, 250, 1,750, never. See results/tiny_imagenet.

Differences from configs/imagenet.py, all of them here below: the pictures' size and
number, a quarter of the width, 3,000 steps instead of 31,000,000, and what belongs to
that length: moving averages that remember 100 steps instead of 3,333, evaluations and
records. Rates, L2, dropout, distortion and the decay in epochs are the same, so the
rate is multiplied by 0.96 never (every 8 epochs) or once (6 times faster).
"""

from configs import common, imagenet

RUNS = imagenet.RUNS


def get_base():
    """Returns Inception of configs/imagenet.py at reduced scale."""
    config = imagenet.get_base()
    config.experiment = "tiny_imagenet"
    config.steps = 3_000
    config.log_every = 100

    config.model.width = 0.25
    config.bn.ema_decay = 0.99

    config.data.classes = 100
    config.data.image_size = 64
    config.data.eval_resize = 73  # 64 is 7/8 of it, as 224 of 256
    config.data.workers = 0

    config.eval.every = 250
    config.eval.batch_size = 250
    config.checkpoint.every = 250
    config.probe.examples = 256
    config.probe.locations = 16
    config.probe.units = 8
    config.probe.bins = 32
    return config


def get_config(name: str = "bn_x30"):
    """Returns the configuration of one entry of RUNS."""
    return common.with_overrides(get_base(), RUNS, name)
