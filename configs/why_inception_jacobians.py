r"""Sec. 3.3: the singular values of the Jacobians of Inception's convolutions.

Claim    a conjecture: BN may lead the layer Jacobians to have singular values close to
         1, which preserves gradient magnitudes.
Run      python scripts/sweep.py --config configs/why_inception_jacobians.py \
             --workdir runs/why_inception_jacobians \
             --config.data.train=tiny-imagenet-100.tar \
             --config.data.val=tiny-imagenet-100.tar
Draw     python scripts/report.py --workdir runs/why_inception_jacobians
Cost     2 runs, about 20 minutes of an x86-64 core each, a third of it in four probes.
Result   not seen: after 3,000 steps 37 % of the singular values of eight layers are
         within [1/2, 2] with BN, 36 % without; of the last layer's 42 and 18 %, of the
         first's 12 and 38 % (one seed). See results/why_inception_jacobians.

configs/why_jacobians.py with convolutions: eight of 69 layers, by Lanczos' method.
"""

from configs import common, why_inception_init

RUNS = {
    arm: changes | {"steps": 3_000} for arm, changes in why_inception_init.ARMS.items()
}

OF_ALL = {  # four costly probes
    "experiment": "why_inception_jacobians",
    "probe.steps": (0, 100, 1_000, 3_000),
    "probe.measures": ("jacobian",),
    "probe.jacobian_layers": 8,
}
get_config = common.getter(why_inception_init.get_base, RUNS, "bn", OF_ALL)
