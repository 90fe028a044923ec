"""Which accelerators this host has, and what shows a process only one of them.

A process that has started JAX holds every GPU's memory and every TPU chip, so that
no other can: a process of its own counts them and ends.
"""

import os
import subprocess
import sys

from bn_repro.errors import UserError

_COUNT = """
import jax
devices = jax.local_devices()  # a TPU chip may hold two: they have the same place
print(devices[0].platform, len({str(getattr(d, "coords", d.id)) for d in devices}))
"""
_OF_A_CHIP = {"TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1", "TPU_PROCESS_BOUNDS": "1,1,1"}


def one_each() -> list[dict[str, str]]:
    """Returns for each accelerator the environment that shows a process it alone.

    Of CUDA_VISIBLE_DEVICES or TPU_VISIBLE_CHIPS only what this process sees is handed
    out. One process a TPU chip, whether the chip counts as one device or two.

    Raises:
      UserError: there is no accelerator, or JAX does not start.
    """
    platform, count = _count()
    if platform == "gpu":
        return [{"CUDA_VISIBLE_DEVICES": i} for i in _of("CUDA_VISIBLE_DEVICES", count)]
    if platform == "tpu":
        chips = _of("TPU_VISIBLE_CHIPS", count)
        return [{"TPU_VISIBLE_CHIPS": chip} | _OF_A_CHIP for chip in chips]
    raise UserError(
        f"--executor=devices trains a run on each GPU or TPU chip, and JAX finds only "
        f"the {platform} here: use --executor=processes, or install the extra of the "
        f"device (pip install -e .[cuda12])"
    )


def _count() -> tuple[str, int]:
    asked = subprocess.run(
        [sys.executable, "-c", _COUNT], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"JAX does not start on this host's devices: {why}")
    platform, count = asked.stdout.split()[-2:]
    return platform, int(count)


def _of(variable: str, count: int) -> list[str]:
    """Returns the names of the devices that a process sees."""
    names = os.environ.get(variable, "")
    seen = [name.strip() for name in names.split(",") if name.strip()]
    return seen[:count] or [str(i) for i in range(count)]
