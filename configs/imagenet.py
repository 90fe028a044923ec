r"""Sec. 4.2, Figs. 2 and 3: BN-Inception and its variants on ImageNet (LSVRC2012).

Claim    BN-Baseline matches Inception in less than half the steps, BN-x5 in 14 times
         fewer; BN-x30 is slower at first and reaches 74.8 %; with sigmoids only the
         network with BN trains.
Run      python scripts/train.py --config configs/imagenet.py:bn_x30 \
             --workdir runs/imagenet/bn_x30 \
             --config.data.train=/imagenet/train --config.data.val=/imagenet/val
Larger   --config.batch_size=256 translates steps, rate and decay; BN still normalises
         over groups of 32.
Cost     not measured at full length: no run of this file is committed. Table and figure
         of the paper: 72.2 % after 31.0e6, 13.3e6, 2.1e6, 2.7e6 steps, never.
"""

from configs import common

# The seven changes of Sec. 4.2.1, one field each; a rate is 5 or 30 times Inception's.
CHANGES = {
    "optimizer.learning_rate": 0.0075,  # increase learning rate
    "model.dropout": 0.0,  # remove dropout
    "optimizer.l2": 8e-6,  # reduce the L2 weight regularization (by 5)
    "optimizer.decay_epochs": 8 / 6,  # accelerate the learning rate decay (6 times)
    "model.lrn": False,  # remove Local Response Normalization
    "data.shuffle": "full",  # shuffle training examples more thoroughly
    "data.distortion": "reduced",  # reduce the photometric distortions
}
WITH_BN = {"model.norm": "batch_norm"}
RATE_X5 = {"optimizer.learning_rate": 0.0075}
RATE_X30 = {"optimizer.learning_rate": 0.045}
SIGMOID = {"model.nonlinearity": "sigmoid"}

LONG = {"steps": 31_000_000}  # Inception's to 72.2 %, the length of Fig. 2
SHORT = {"steps": 6_000_000}  # BN-x30's to 74.8 %

RUNS = {
    # The five networks of Sec. 4.2.2.
    "inception": LONG,
    "bn_baseline": WITH_BN | LONG,
    "bn_x5": WITH_BN | CHANGES | SHORT,
    "bn_x30": WITH_BN | CHANGES | RATE_X30 | SHORT,
    "bn_x5_sigmoid": WITH_BN | CHANGES | SIGMOID | SHORT,
    # The two failures that it reports: machine infinity, and chance.
    "inception_x5": RATE_X5 | SHORT,
    "inception_sigmoid": SIGMOID | SHORT,
}


def get_base():
    """Returns Inception as in Sec. 4.2.2: no BN and none of the changes."""
    config = common.get_config()
    config.experiment = "imagenet"
    config.steps = LONG["steps"]
    config.batch_size = 32
    config.reference_batch = 32
    config.steps_per_call = 10
    config.log_every = 1_000

    config.model.name = "inception"
    config.model.nonlinearity = "relu"
    config.model.dropout = 0.4
    config.model.lrn = True

    config.bn.batch = "32"
    config.bn.epsilon = 1e-3
    config.bn.ema_decay = 0.9997

    config.data.name = "imagenet"
    config.data.source = "image_folder"
    config.data.classes = 1_000
    config.data.image_size = 224
    config.data.eval_resize = 0  # 256, or in proportion to another image_size
    config.data.shuffle = "shard"
    config.data.distortion = "full"
    config.data.flip = True
    config.data.workers = 8

    config.optimizer.learning_rate = 0.0015
    config.optimizer.momentum = 0.9
    config.optimizer.l2 = 4e-5
    config.optimizer.decay_factor = 0.96
    config.optimizer.decay_epochs = 8.0

    config.eval.every = 50_000
    config.eval.batch_size = 256
    config.eval.batch_statistics = False
    config.eval.population_batches_during = 200
    config.checkpoint.every = 10_000
    config.probe.every = 0
    config.probe.log_spaced = 12
    config.probe.examples = 64
    config.probe.batch_size = 32
    config.probe.units = 16
    return config


get_config = common.getter(get_base, RUNS, "bn_x30")
