r"""Sec. 3.3: the scale of the initial weights of the Inception network.

Claim    with BN the network depends less on the scale of its initial parameters.
Run      python scripts/sweep.py --config configs/why_inception_init.py \
             --workdir runs/why_inception_init \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Draw     python scripts/report.py --workdir runs/why_inception_init
Cost     8 runs of 10 to 11 minutes on one core of an x86-64 CPU, up to 20 with other
         programs beside.
Result   with BN 5.0 to 6.2 % from a quarter of He's scale to twice of it; without it
         3.8 % from He's own, chance from less; twice of it diverges. One seed.
         See results/why_inception_init and results/README.md.

The network of configs/tiny_imagenet.py, its first 3,000 steps, one seed.
"""

from configs import common, tiny_imagenet

ARMS = {
    "plain": tiny_imagenet.NETWORKS["inception"],
    "bn": tiny_imagenet.NETWORKS["bn_baseline"],
}
RUNS = {
    f"{arm}_scale{scale:g}": changes | {"model.init_scale": scale, "steps": 3_000}
    for scale in (0.25, 0.5, 1.0, 2.0)
    for arm, changes in ARMS.items()
}


def get_base():
    """Returns a short run of the small Inception, small records."""
    config = tiny_imagenet.get_base()
    config.experiment = "why_inception_init"
    config.steps = 3_000
    config.log_every = 500
    config.eval.every = config.eval.early_every = 500
    config.probe.steps = (0, 10, 100, 300, 1_000, 3_000)
    return config


get_config = common.getter(get_base, RUNS, "bn_scale1")
