r"""Sec. 4.2.1: each of the seven changes that accelerate BN networks, taken back.

Claim    the changes take advantage of BN; the paper quotes a number for one of them
         alone: thorough shuffling improves the validation accuracy by about 1 %.
Data     100 ImageNet classes at 64x64, as in configs/tiny_imagenet.py.
Run      python scripts/sweep.py --config configs/tiny_imagenet_ablation.py \
             --workdir runs/tiny_imagenet_ablation \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Draw     python scripts/report.py --workdir runs/tiny_imagenet_ablation
Cost     not measured yet: no run of this file is committed.

bn_x5 has all seven changes; each other run lacks one. At 3,000 steps, two epochs, the
changes that belong to a long training (L2, decay, shuffling) can hardly tell.
"""

from configs import common, imagenet, tiny_imagenet

WITHOUT = {
    "lower_rate": "optimizer.learning_rate",
    "dropout": "model.dropout",
    "more_l2": "optimizer.l2",
    "slower_decay": "optimizer.decay_epochs",
    "lrn": "model.lrn",
    "shard_shuffle": "data.shuffle",
    "full_distortion": "data.distortion",
}

RUNS = {"bn_x5": imagenet.RUNS["bn_x5"]}
RUNS |= {
    f"bn_x5_{name}": {k: v for k, v in imagenet.RUNS["bn_x5"].items() if k != change}
    for name, change in WITHOUT.items()
}


def get_base():
    """Returns Inception at reduced scale."""
    config = tiny_imagenet.get_base()
    config.experiment = "tiny_imagenet_ablation"
    return config


def get_config(name: str = "bn_x5"):
    """Returns the configuration of one entry of RUNS."""
    return common.with_overrides(get_base(), RUNS, name)
