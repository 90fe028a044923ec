r"""Sec. 4.2.3, Fig. 4, for one small machine: the six members at 64x64, 100 classes.

Claim    the same as configs/imagenet_ensemble.py. What this scale cannot show: the
         paper's errors.
Data     100 ImageNet classes at 64x64: 50,000 training and 5,000 validation pictures.
Run      python scripts/sweep.py --config configs/tiny_imagenet_ensemble.py \
             --workdir runs/tiny_imagenet_ensemble \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Cost     about an hour a member on one core of an x86-64 CPU; 144 crops of all pictures
         take six minutes a member on two.
Result   under way. Members 1 and 2: top-1 error 77.58 and 77.24 %, together 75.12 % on
         5,000 pictures, see results/tiny_imagenet_members. All six after 2,000 steps
         (revision and configuration are in their records): 92.3 to 92.8 %, together
         89.7 %, with 144 crops 89.2 %; binomial standard error 0.4 points. See
         results/tiny_imagenet_ensemble.

Differences from configs/imagenet_ensemble.py: those of configs/tiny_imagenet.py, whose
6,000,000 steps are 16,000 here. At 64 pixels the feature maps of 5a and 5b are 2x2, so
per-activation BN there has four times the statistics, not 49 times.
"""

from configs import common, imagenet_ensemble, tiny_imagenet

RUNS = {
    name: tiny_imagenet.NETWORKS["bn_x30"] | changes | {"seed": seed}
    for seed, (name, changes) in enumerate(imagenet_ensemble.CHANGES.items(), start=1)
}

OF_ALL = {"experiment": "tiny_imagenet_ensemble"}
get_config = common.getter(tiny_imagenet.get_base, RUNS, "member_1", OF_ALL)
