r"""Sec. 3.1: how many examples are normalised together, and with which statistics.

Claim    the inference network has the statistics of the population (Algorithm 2), not a
         mini-batch's; with few examples the two differ.
Run      python scripts/sweep.py --config configs/why_batch_size.py \
             --workdir runs/why_batch_size
Draw     python scripts/report.py --workdir runs/why_batch_size
Cost     45 runs of 5 to 90 s on one core of an x86-64 CPU each.
Result   with Algorithm 2 91.8 % in groups of 60, 90.1 % in groups of 4, 71.4 % in
         groups of 2; the mini-batch's own statistics lose 0.2, 8.4 and 28.1 points.
         See results/why_batch_size and results/README.md.

"group4": 15 groups of 4 in a batch of 60; "batch4": batches of 4, at as many examples
and a rate in proportion.
"""

from configs import common

GROUPS = (2, 4, 10, 20, 60)
ARMS = {
    f"{kind}{n}": {
        "model.norm": "batch_norm",
        "probe.batch_size": n,
        **({"bn.batch": str(n)} if kind == "group" else {"batch_size": n}),
    }
    for kind in ("group", "batch")
    for n in GROUPS
    if kind == "group" or n < 60  # one batch of 60 is group60
}
RUNS = common.with_seeds(ARMS)


def get_base():
    """Returns a short run of the network of Fig. 1."""
    config = common.short_mnist("why_batch_size", steps=2_000)
    config.eval.every = 400
    config.eval.batch_statistics = True
    config.eval.population_batches_during = 200
    config.probe.log_spaced = 4
    config.probe.examples = 240
    config.probe.measures = ("noise",)
    return config


get_config = common.getter(get_base, RUNS, "group60_seed0")
