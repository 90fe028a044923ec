"""Alternated timing, and how a result is printed."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """One measured figure: what it is, its value, and the bound it should keep."""

    what: str
    value: float
    bound: str = ""
    detail: str = ""

    def __str__(self) -> str:
        bound = f"  (wanted: {self.bound})" if self.bound else ""
        detail = f"  [{self.detail}]" if self.detail else ""
        return f"{self.what:<58} {self.value:>10.4g}{bound}{detail}"


def alternate(candidates: dict[str, Callable], rounds: int = 15) -> dict[str, float]:
    """Returns each candidate's median seconds a call.

    Every round calls each of them once, so that a slow moment of the machine meets all
    of them alike; the first round is not counted.

    Args:
      candidates: name -> function that returns when its work is done.
      rounds: how many counted rounds.
    """
    seconds = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(times[1:]) for name, times in seconds.items()}
