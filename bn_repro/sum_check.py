"""Start-up self-test: refuses a jaxlib that adds wrongly."""

import importlib.metadata
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bn_repro.errors import UserError

# The same as in pyproject.toml. 0.10.2 adds wrongly on CPU in some calls (jax issue
# 39103); 0.11.x have open wrong-result reports (40101, 40412, 40633).
EXCLUDED = ("0.10.2", "0.11.0", "0.11.1")
SHAPE = (4, 1024, 1024)  # 2**22 ones: their sum is exact in float32
CALLS = 32  # jaxlib 0.10.2 is wrong in 1 to 50 % of the calls
SECONDS = 0.05  # at most, on a slow or busy machine


def check_sums(total: Callable | None = None, version: str | None = None) -> None:
    """Returns when this jaxlib is fit for use; takes under 0.2 s.

    It uses a device, so on several hosts call it after `jax.distributed.initialize`.

    Args:
        total: returns the sum of a [1024, 1] column broadcast to SHAPE; None is XLA's.
        version: of jaxlib; None is the installed one.

    Raises:
        UserError: a version known to be wrong, or a sum that is wrong.
    """
    version = version or importlib.metadata.version("jaxlib")
    advice = (
        "install jax and jaxlib 0.10.1 (Python 3.11) or 0.12 and later (Python 3.12+)"
    )
    if version in EXCLUDED:
        raise UserError(f"jaxlib {version} is known to compute wrong results: {advice}")
    total = total or _total
    column = np.ones((SHAPE[1], 1), np.float32)
    right = float(np.prod(SHAPE))
    started = time.perf_counter()
    for _ in range(CALLS):
        found = float(total(column))
        if found != right:
            raise UserError(
                f"jaxlib {version} adds wrongly here, {found:.0f} instead of"
                f" {right:.0f}: {advice}"
            )
        if time.perf_counter() - started > SECONDS:
            break


@jax.jit
def _total(column):
    return jnp.sum(jnp.broadcast_to(column, SHAPE))
