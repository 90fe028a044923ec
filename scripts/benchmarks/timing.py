"""Alternated timing, and the rows that benchmarks yield."""

import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import NamedTuple

trace_to = ""  # folder for profiles; empty: none


class Figure(NamedTuple):
    """One side of a comparison: who, the values of the rounds, and their unit."""

    who: str
    values: Sequence[float]
    unit: str = ""

    @property
    def median(self) -> float:
        """The median over rounds."""
        return median(self.values)

    def per_second(self, count: float, unit: str) -> "Figure":
        """Returns how much of count is done a second, if the values are seconds."""
        return Figure(self.who, [count / v for v in self.values], unit)

    def in_ms(self) -> "Figure":
        """Returns milliseconds, if the values are seconds."""
        return Figure(self.who, [1e3 * v for v in self.values], "ms")

    def __str__(self) -> str:
        return f"{self.who} {number(self.median)}{self.unit and ' '}{self.unit}"


class Row(NamedTuple):
    """One measured value."""

    what: str  # is measured; names the row
    value: float  # NaN where it could not be
    bound: str = ""  # that it should keep, "<= 2" or ">= 0.9"
    # "time", "count" (the same at every run) or "error" (of rounding)
    kind: str = "time"
    spread: tuple = ()  # quartiles of the value over rounds; empty where there is one
    # what the value is of: ours, then what it is compared with
    figures: Sequence[Figure] = ()
    detail: str = ""  # anything else

    def __str__(self) -> str:
        told = [*map(str, self.figures), *filter(None, [self.detail])]
        bound = f"  (wanted: {self.bound})" if self.bound else ""
        spread = f" ({' to '.join(map(number, self.spread))})" if self.spread else ""
        return (
            f"{self.what:<58} {self.value:>10.4g}{spread}{bound}  [{', '.join(told)}]"
        )


def ratio(what: str, ours: Figure, theirs: Figure, bound: str = "", detail: str = ""):
    """Returns the row of ours over theirs: of the medians, spread over the rounds."""
    rounds = [a / b for a, b in zip(ours.values, theirs.values, strict=True)]
    spread = tuple(quantiles(rounds, n=4)[::2]) if len(rounds) > 1 else ()
    value = ours.median / theirs.median
    return Row(what, value, bound, "time", spread, (ours, theirs), detail)


def missing(what: str) -> Row:
    """Returns the row that says why something is not measured here."""
    return Row(what, float("nan"))


def counted(executable, what: str) -> float:
    """Returns what XLA's cost analysis counts: "flops" or "bytes accessed"."""
    analysis = executable.cost_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    return analysis.get(what, 0.0)


def number(value: float) -> str:
    """Returns a number of three digits or more, without an exponent if it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def alternate(candidates: dict[str, Callable], rounds: int = 15) -> dict[str, Figure]:
    """Returns each candidate's seconds a call.

    Every round calls each of them once, so that a slow moment of the machine meets all
    of them alike; the first round is not counted. Of name -> function that returns when
    its work is done, in counted `rounds`.
    """
    seconds = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: Figure(name, times[1:], "s") for name, times in seconds.items()}
