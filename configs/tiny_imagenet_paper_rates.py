r"""Sec. 4.2, Figs. 2 and 3 at 64x64 with the paper's own learning rates.

Claim    the same as configs/tiny_imagenet.py, whose rates are multiples of one chosen
         for this scale. These are the paper's: 0.0015, 0.0075 and 0.045.
Data     100 ImageNet classes at 64x64, as in configs/tiny_imagenet.py.
Run      python scripts/sweep.py --config configs/tiny_imagenet_paper_rates.py \
             --workdir runs/tiny_imagenet_paper_rates \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Cost     15 minutes of one core a run, jax 0.10.1.
Result   not run yet.

10,000 steps, one seed.
"""

from configs import common, tiny_imagenet

RATES = {
    "inception": 0.0015,
    "bn_baseline": 0.0015,
    "bn_x5": 0.0075,
    "bn_x30": 0.045,
    "bn_x5_sigmoid": 0.0075,
}
RUNS = {
    name: tiny_imagenet.NETWORKS[name]
    | {"optimizer.learning_rate": rate, "steps": 10_000}
    for name, rate in RATES.items()
}

OF_ALL = {"experiment": "tiny_imagenet_paper_rates"}
get_config = common.getter(tiny_imagenet.get_base, RUNS, "bn_x30", OF_ALL)
