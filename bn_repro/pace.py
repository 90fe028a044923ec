"""How fast a run goes: the time left, and a sign of life while it compiles."""

import contextlib
import datetime
import threading
import time
from collections.abc import Callable, Iterator, Sequence

EVERY = 10.0  # seconds between two signs of life


class Pace:
    """The clock of a run, which knows what was done for the first time, so compiled."""

    def __init__(self, step: int):
        """Starts at a step."""
        self.first: dict[str, tuple[float, int]] = {}  # what -> (seconds, steps)
        self._step, self._started = step, time.perf_counter()

    def left(self, step: int, steps: int) -> str:
        """Returns the time from step to steps, at the speed since all was compiled."""
        compiled = sum(seconds for seconds, _ in self.first.values())
        done = step - self._step - sum(n for _, n in self.first.values())
        if done <= 0:
            return f"compiled in {compiled:.0f} s"
        spent = max(time.perf_counter() - self._started - compiled, 0.0)
        left = datetime.timedelta(seconds=round(spent / done * (steps - step)))
        return f"{left} left"


@contextlib.contextmanager
def first(
    paces: Sequence[Pace], what: str, say: Callable[[str], None], steps: int = 0
) -> Iterator[None]:
    """Gives a sign of life while runs do, and compile, something for the first time."""
    if all(what in pace.first for pace in paces):
        yield
        return
    began = time.perf_counter()
    with _telling(f"compiling the {what}", say):
        yield
    for pace in paces:
        pace.first[what] = (time.perf_counter() - began, steps)


@contextlib.contextmanager
def _telling(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Has `say` told every so often, as long as this lasts, what goes on since when."""
    done, began = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(EVERY):
            say(f"{what}: {time.monotonic() - began:.0f} s so far")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
