"""The predictions of docs/costs.md are those of today's networks, rightly counted."""

import json

import jax
import pytest

from benchmarks import costs, inception, table
from bn_repro import config_files
from bn_repro.resolve import resolve


@pytest.mark.slow
def test_the_page_shows_what_is_predicted():
    """If not: python scripts/benchmark.py --table."""
    shown = f"{costs.BEGIN}\n\n{costs.markdown()}\n\n{costs.END}"
    assert shown in costs.PAGE.read_text()


def test_cores_are_of_the_slowest_pictures_a_second_of_a_core(tmp_path, monkeypatch):
    rows = [
        {"what": what, "figures": [{"who": who, "median": median}]}
        for what, who, median in (
            ("Input, in process: pictures/s of a core over OpenCV's", "bare", 100),
            ("Input, in process: pictures/s of a core", "in process", 400.4),
            ("Input, worker: pictures/s of a core", "worker", 500),
            ("Input, 1 workers: pictures/s by the clock", "in process", 200),
        )
    ]
    sections = [{"input_pipeline": {"rows": rows}}, {"mnist": {"rows": []}}]
    for i, found in enumerate(sections):
        (tmp_path / f"{i}.json").write_text(json.dumps({"sections": found}))
    monkeypatch.setattr(table, "FOLDER", tmp_path)
    assert costs.a_core() == 400


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
