"""Predicted: how long the networks of Sec. 4.2 take on machines that nobody had here.

A step takes, one after the other, its products at a share of the device's peak, its
bytes at a share of the memory's bandwidth, its all-reduce at a share of the links', and
a fixed time a layer for launching programs. The peaks are the vendors'; the shares are
assumptions (`SHARES`), and so are the bytes (`Counts.bytes_of`). What is measured
should replace them: `scripts/benchmark.py --only accelerator` prints the shares.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from bn_repro.analysis import tables

FLOAT = 4  # bytes


class Chip(NamedTuple):
    """Public peaks of a device: GB/s of memory, dense TFLOP/s of float32, bfloat16.

    Products of float32 are TF32 on NVIDIA and bfloat16 on TPU, as by "default".
    """

    memory: float
    float32: float
    bfloat16: float


# By jax's device kind, from the vendors' data sheets.
CHIPS = {
    "NVIDIA H100 80GB HBM3": Chip(3350, 494, 989),
    "NVIDIA H200": Chip(4800, 494, 989),
    "NVIDIA A100-SXM4-80GB": Chip(2039, 156, 312),
    "TPU v4": Chip(1228, 275, 275),
    "TPU v5 lite": Chip(819, 197, 197),
}


class Machine(NamedTuple):
    """Devices, and what joins them."""

    name: str  # as the table shows it
    chip: Chip  # of each device
    devices: int
    a_host: int  # how many of them have one host's cores
    batch: int  # examples on each
    # GB/s that each device sends while it receives as much; the slowest link
    link: float
    launch: float  # microseconds a layer in which the device waits for the host


H100, V5E = CHIPS["NVIDIA H100 80GB HBM3"], CHIPS["TPU v5 lite"]
ONE = Machine("1 x H100", H100, 1, 1, 256, math.inf, 40)
MACHINES = (
    Machine("8 x H100", H100, 8, 8, 32, 450, 40),  # NVLink 4: 900 GB/s both ways
    Machine("64 x H100", H100, 64, 8, 32, 50, 40),  # 400 Gbit/s of InfiniBand each
    Machine("TPU v5e-256", V5E, 256, 4, 32, 100, 0),  # 1,600 Gbit/s both ways
)
# Assumed of the peaks: of products, memory, links.
SHARES = {"products": 0.25, "memory": 0.5, "links": 0.5}


class Counts(NamedTuple):
    """What one network asks for."""

    parameters: int
    statistics: int  # stored means and variances; 0 without BN
    macs: int  # products with a sum in a forward pass of one example
    inputs: int  # values that enter its convolutional layers, an example
    outputs: int  # values that leave them
    layers: int  # how many convolutional layers

    @property
    def flops(self) -> float:
        """Of a training step, an example: forward, and twice that backward."""
        return 3 * 2 * self.macs

    def bytes_of(self, batch: int) -> float:
        """Returns the bytes a training step moves, of batch examples in float32.

        Each convolution reads its input and writes its output, backward reads the
        output's gradient twice and the input, and writes the input's gradient. BN moves
        8 times its input (docs/measured.md), bias and nonlinearity alone 5 times. Every
        parameter is moved 8 times: twice read, its gradient, momentum, and the update.
        Pools and concatenations are left out.
        """
        pointwise = 8 if self.statistics else 5
        example = 3 * self.inputs + (3 + pointwise) * self.outputs
        return FLOAT * (batch * example + 8 * self.parameters)

    @property
    def sent(self) -> int:
        """Bytes of the all-reduce of a step: see collectives_test.py."""
        return FLOAT * (self.parameters + self.statistics + 5)


def seconds(counts: Counts, machine: Machine) -> float:
    """Returns what a training step takes on a machine, predicted."""
    chip, batch, devices = machine.chip, machine.batch, machine.devices
    products = batch * counts.flops / (chip.float32 * 1e12 * SHARES["products"])
    memory = counts.bytes_of(batch) / (chip.memory * 1e9 * SHARES["memory"])
    ring = 2 * (devices - 1) / devices * counts.sent
    links = ring / (machine.link * 1e9 * SHARES["links"])
    return products + memory + links + counts.layers * machine.launch * 1e-6


def rate(counts: Counts, machine: Machine) -> float:
    """Returns images a second on all devices of a machine, predicted."""
    return machine.devices * machine.batch / seconds(counts, machine)


def table(networks: Mapping[str, Counts], examples: Mapping[str, int]) -> str:
    """Returns Markdown: step, images a second and hours of networks on machines.

    Of their counts at 224 pixels, and the examples that each sees.
    """
    columns = ["network", "pictures", *(machine.name for machine in MACHINES)]
    rows = []
    for name, counts in networks.items():
        cells = [_cell(counts, machine, examples[name]) for machine in MACHINES]
        rows.append([name, f"{examples[name] / 1e6:,.0f}e6", *cells])
    return tables.markdown(columns, rows)


def _cell(counts: Counts, machine: Machine, examples: int) -> str:
    speed = rate(counts, machine)
    step = 1e3 * seconds(counts, machine)
    return f"{step:.1f} ms, {speed:,.0f}/s: {hours(examples / speed)}"


def hours(seconds: float) -> str:
    """Returns "3.4 h", or days where there are more than two."""
    found = seconds / 3600
    return f"{found:.1f} h" if found < 48 else f"{found / 24:.1f} days"


def cores_table(networks: Mapping[str, Counts], a_core: float) -> str:
    """Returns Markdown: the host cores that keep devices busy at 224 pixels.

    By the fastest network, at `a_core` pictures that one core decodes a second.
    """
    rates = [1_000, 2_000, 5_000, 10_000]
    rows = [(f"{r:,} images a second", r, r) for r in rates]
    for machine in MACHINES:
        r = max(rate(counts, machine) for counts in networks.values())
        a_host = r * machine.a_host / machine.devices
        rows.append((f"{machine.name}, predicted", r, a_host))
    columns = ["device or machine", "images/s", "images/s a host", "its cores"]
    cells = [
        [name, f"{r:,.0f}", f"{one:,.0f}", str(math.ceil(one / a_core))]
        for name, r, one in rows
    ]
    return tables.markdown(columns, cells)
