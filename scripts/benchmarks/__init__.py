"""Benchmarks: each module measures one thing and yields rows."""

from pathlib import Path

# ImageNet pictures beside the checkout, full-size and 64x64, where there are some.
_DATA = Path(__file__).resolve().parents[3] / "shared/data"
SAMPLE, TINY = (
    _DATA / f"{x}.tar" for x in ("imagenet-sample-250", "tiny-imagenet-100")
)


def torch_device() -> str:
    """Returns where PyTorch is compared: "cuda" where JAX and it both have one."""
    import jax
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu"
