"""A trained network, read back: its predictions and the inputs to its sigmoids."""

from pathlib import Path

import jax.numpy as jnp

from bn_repro import data, models
from bn_repro.inference import members
from bn_repro.layers import Mode

RESULTS = Path(__file__).parents[2] / "results"

member = members.load(RESULTS / "mnist" / "bn_seed0")
network = models.build(member.config)
images, labels = data.load(member.config.data).test
logits, taps = network.apply(
    member.variables, jnp.asarray(images[:1000], jnp.float32), Mode(True)
)
print(f"accuracy {(logits.argmax(-1) == labels[:1000]).mean():.1%}")
for layer, x in taps.items():  # x [B, units], the input to the layer's sigmoid
    print(f"{layer}: mean {x.mean():.2f}, standard deviation {x.std():.2f}")
