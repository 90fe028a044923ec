r"""Sec. 3.3: the scale of the initial weights of the Inception network.

Claim    with BN the network depends less on the scale of its initial parameters.
Run      python scripts/sweep.py --config configs/why_inception_init.py \
             --workdir runs/why_inception_init ...
Draw     python scripts/report.py --workdir runs/why_inception_init
Cost     8 runs of about as long as those of configs/tiny_imagenet.py.
Result   not run yet.
"""

from configs import common, tiny_imagenet

RUNS = {
    f"{arm}_scale{scale:g}": {
        **tiny_imagenet.RUNS[f"{arm}_seed0"],
        "model.init_scale": scale,
        "experiment": "why_inception_init",
    }
    for scale in (0.25, 0.5, 1.0, 2.0)
    for arm in ("inception", "bn_baseline")
}


def get_config(name: str = "bn_baseline_scale1"):
    """Returns the configuration of one entry of RUNS."""
    return common.with_overrides(tiny_imagenet.get_base(), RUNS, name)
