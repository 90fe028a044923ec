"""The predictions of docs/costs.md are those of today's networks, rightly counted."""

import jax
import pytest

from benchmarks import costs, inception
from bn_repro import config_files
from bn_repro.resolve import resolve


@pytest.mark.slow
def test_the_page_shows_what_is_predicted():
    """If not: python scripts/benchmark.py --table."""
    shown = f"{costs.BEGIN}\n\n{costs.markdown()}\n\n{costs.END}"
    assert shown in costs.PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception", "bn_x5"])
def test_counts_are_those_of_the_program_for_a_gpu(name):
    batch = 4
    case = inception.Case("", batch, 224, 1.0, 1)
    step, arguments = inception.compiled_step(case, name)
    lowered = step.trace(*arguments).lower(lowering_platforms=("cuda",))
    config = resolve(config_files.load(f"imagenet:{name}"))[0]
    counts = costs.count(config, 224)
    # XLA counts no products with padding, and the pictures need no gradient.
    assert lowered.cost_analysis()["flops"] == pytest.approx(
        batch * counts.flops, rel=0.05
    )
    state = arguments[0]
    sizes = [
        sum(x.size for x in jax.tree.leaves(tree))
        for tree in (state.params, state.batch_stats)
    ]
    assert sizes == [counts.parameters, counts.statistics]
