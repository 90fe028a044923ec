"""Writing beside the training steps: one thread, one thing at a time, no error lost."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Does what it is given in a thread; the next thing waits for the one before.

    What an action raises is raised by the next call of any method here. A process that
    ends waits for it; one that is killed leaves the file as it was.
    """

    def __init__(self):
        """Starts no thread yet."""
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._under_way: Future | None = None

    def start(self, action: Callable[[], object]) -> None:
        """Begins an action, once the one before has ended."""
        self.wait()
        self._under_way = self._thread.submit(action)

    def wait(self) -> None:
        """Returns when nothing is under way."""
        ended, self._under_way = self._under_way, None
        if ended is not None:
            ended.result()

    def look(self) -> None:
        """Raises what an action that has ended raised; does not wait for one."""
        if self._under_way is not None and self._under_way.done():
            self.wait()
