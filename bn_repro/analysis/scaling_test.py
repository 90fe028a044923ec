"""Predictions against the same sums done by hand."""

import math

import pytest

from bn_repro.analysis import scaling
from bn_repro.analysis.scaling import Chip, Counts, Machine

COUNTS = Counts(
    parameters=1_000, statistics=0, macs=10**9, inputs=200, outputs=100, layers=10
)
CHIP = Chip(memory=1, float32=1, bfloat16=2)
SHARES = scaling.SHARES.values()


def machine(**fields):
    return Machine("it", CHIP, **{**ALONE, **fields})


ALONE = {"devices": 1, "a_host": 1, "batch": 8, "link": math.inf, "launch": 0}


def test_a_step_is_products_and_bytes_after_each_other():
    products, memory, _ = SHARES
    by_hand = 8 * 6e9 / (1e12 * products)
    # 3 inputs and 3 + 5 outputs an example, 8 moves a parameter, 4 bytes each
    by_hand += 4 * (8 * (3 * 200 + 8 * 100) + 8 * 1_000) / (1e9 * memory)
    assert scaling.seconds(COUNTS, machine()) == pytest.approx(by_hand)
    with_bn = COUNTS._replace(statistics=20)
    by_hand += 4 * 8 * 3 * 100 / (1e9 * memory)
    assert scaling.seconds(with_bn, machine()) == pytest.approx(by_hand)


def test_more_devices_add_the_links_alone():
    one = scaling.seconds(COUNTS, machine())
    eight = scaling.seconds(COUNTS, machine(devices=8, link=2))
    *_, links = SHARES
    sent = 2 * 7 / 8 * 4 * 1_005
    assert eight - one == pytest.approx(sent / (2e9 * links))
    rate = scaling.rate(COUNTS, machine(devices=8, link=2))
    assert rate == pytest.approx(64 / eight)


def test_launching_costs_by_the_layer():
    waits = scaling.seconds(COUNTS, machine(launch=40)) - scaling.seconds(
        COUNTS, machine()
    )
    assert waits == pytest.approx(10 * 40e-6)


def test_a_host_needs_the_cores_of_its_own_devices():
    lines = scaling.cores_table({"net": COUNTS}, 100).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["1,000 images a second", "1,000", "1,000", "10"] in cells
    name, total, host, cores = next(c for c in cells if c[0].startswith("64 x"))
    total, host = (float(x.replace(",", "")) for x in (total, host))
    assert total / host == pytest.approx(8, rel=1e-3)
    assert int(cores) == pytest.approx(host / 100, abs=1)


def test_long_times_are_in_days():
    assert scaling.hours(3600) == "1.0 h"
    assert scaling.hours(72 * 3600) == "3.0 days"
