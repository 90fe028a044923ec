r"""Sec. 4.2.3, Fig. 4: six networks whose class probabilities are averaged.

Claim    20.1 % top-1 and 4.9 % top-5 error on the validation pictures with six members
         and 144 crops; 21.99 % and 5.82 % with one network, 25.2 % and 7.82 % with one
         crop.
Run      python scripts/sweep.py --config configs/imagenet_ensemble.py \
             --workdir runs/imagenet_ensemble \
             --config.data.train=/imagenet/train --config.data.val=/imagenet/val
Cost     not measured: no run of this file is committed. 6e6 steps a member.

Each member is BN-x30 with some of three changes; the paper does not say which member
has which. Every value occurs at least twice here, and no two members are the same. The
"last hidden layers" are read as 5a and 5b, "increased" initial weights as x2 or x4.
"""

from configs import common, imagenet

WEIGHTS_X2 = {"model.init_scale": 2.0}  # increased initial weights, convolutions
WEIGHTS_X4 = {"model.init_scale": 4.0}
DROPOUT_5 = {"model.dropout": 0.05}
DROPOUT_10 = {"model.dropout": 0.1}
PER_ACTIVATION = {"model.per_activation_last": True}  # BN in 5a and 5b

CHANGES = {
    "member_1": WEIGHTS_X2 | DROPOUT_5,
    "member_2": WEIGHTS_X4 | DROPOUT_10,
    "member_3": WEIGHTS_X2 | PER_ACTIVATION,
    "member_4": DROPOUT_5 | PER_ACTIVATION,
    "member_5": DROPOUT_10 | PER_ACTIVATION,
    "member_6": WEIGHTS_X4 | DROPOUT_5 | PER_ACTIVATION,
}
RUNS = {
    name: imagenet.RUNS["bn_x30"] | changes | {"seed": seed}
    for seed, (name, changes) in enumerate(CHANGES.items(), start=1)
}

OF_ALL = {"experiment": "imagenet_ensemble"}
get_config = common.getter(imagenet.get_base, RUNS, "member_1", OF_ALL)
