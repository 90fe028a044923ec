"""Which formulation of a function a program holds: the CPU's or the plain one."""

from collections.abc import Callable

import jax
from jax import lax

# In `with for_export(True):` programs hold both, and lowering takes its platform's.
for_export = jax.make_user_context(default_value=False)


def per_platform(cpu: Callable, plain: Callable, *args: jax.Array) -> jax.Array:
    """Returns cpu(*args) on CPU, plain(*args) on every other platform.

    The two differ by rounding only. Where JAX's devices are CPUs, only that one is
    traced, which halves the time of tracing Inception: whoever lowers a program there
    for a GPU or TPU traces it in `with for_export(True):`.
    """
    if jax.default_backend() == "cpu" and not for_export.value:
        return cpu(*args)
    return lax.platform_dependent(*args, cpu=cpu, default=plain)
