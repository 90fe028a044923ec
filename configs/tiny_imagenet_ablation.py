r"""Sec. 4.2.1: changes that accelerate BN networks, taken back one by one.

Claim    the changes take advantage of BN; the paper quotes a number for one of them
         alone: thorough shuffling improves the validation accuracy by about 1 %.
Data     100 ImageNet classes at 64x64, as in configs/tiny_imagenet.py.
Run      python scripts/sweep.py --config configs/tiny_imagenet_ablation.py \
             --workdir runs/tiny_imagenet_ablation \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Draw     python scripts/report.py --workdir runs/tiny_imagenet_ablation
Cost     not measured yet: no run of this file is committed.

Each run is BN-x5 of configs/tiny_imagenet.py with one of its seven changes taken back,
to be held against the first 8,000 steps of that network. Of the seven, L2 and shuffling
are not here: in five epochs they cannot show.
"""

from configs import common, tiny_imagenet

WITHOUT = {
    "lower_rate": "optimizer.learning_rate",
    "dropout": "model.dropout",
    "slower_decay": "optimizer.decay_epochs",
    "lrn": "model.lrn",
    "full_distortion": "data.distortion",
}

SEEDS = range(3)

BN_X5 = tiny_imagenet.NETWORKS["bn_x5"]
RUNS = {
    f"bn_x5_{name}_seed{seed}": {k: v for k, v in BN_X5.items() if k != change}
    | {"seed": seed}
    for name, change in WITHOUT.items()
    for seed in SEEDS
}

OF_ALL = {"experiment": "tiny_imagenet_ablation", "steps": 8_000}
get_config = common.getter(
    tiny_imagenet.get_base, RUNS, "bn_x5_lower_rate_seed0", OF_ALL
)
