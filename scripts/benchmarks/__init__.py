"""Benchmarks: each module measures one thing and yields rows."""

from pathlib import Path

# Full-size ImageNet pictures beside the checkout, where there are some.
SAMPLE = Path(__file__).resolve().parents[3] / "shared/data/imagenet-sample-250.tar"


def torch_device() -> str:
    """Returns where PyTorch is compared: "cuda" where JAX and it both have one."""
    import jax
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu"
