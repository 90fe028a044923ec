"""How many programs XLA made in this process, and how long that took."""

from typing import NamedTuple

import jax

_MADE = "/jax/core/compile/backend_compile_duration"  # read from the cache, too
_FOUND = "/jax/compilation_cache/cache_hits"


class Made(NamedTuple):
    """Programs made."""

    programs: int = 0  # how many
    from_cache: int = 0  # how many of them were kept from before, and only read
    seconds: float = 0.0  # what compiling and reading took

    def since(self, before: "Made") -> dict:
        """Returns what was made after `before`, by name."""
        now = self._asdict().items()
        return {k: round(v - getattr(before, k), 3) for k, v in now}


_made = Made()


def so_far() -> Made:
    """Returns what was made since this module was first imported."""
    return _made


def _on_duration(event: str, seconds: float, **_) -> None:
    global _made
    if event == _MADE:
        more = {"programs": _made.programs + 1, "seconds": _made.seconds + seconds}
        _made = _made._replace(**more)


def _on_event(event: str, **_) -> None:
    global _made
    if event == _FOUND:
        _made = _made._replace(from_cache=_made.from_cache + 1)


jax.monitoring.register_event_duration_secs_listener(_on_duration)
jax.monitoring.register_event_listener(_on_event)
