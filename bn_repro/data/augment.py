"""What happens to a uint8 picture on the device, inside the step.

Photometric distortion is TF-Slim's `distort_color`: brightness, saturation, hue,
contrast, each by a random amount of the example's own. TF-Slim deals four orders of
these operations to its reading threads; here it is always its first one, the order
above, so that a compiled step holds one order. Saturation and hue are those of HSV, in
closed form. Sec. 4.2.1 trains with less of it: "reduced" is brightness and saturation,
TF-Slim's fast mode, at half strength.
"""

import jax
import jax.numpy as jnp

MEAN = (123.675, 116.28, 103.53)  # of ImageNet's pixels: red, green, blue, of 255
STANDARD_DEVIATION = (58.395, 57.12, 57.375)
# Half ranges: added brightness, hue (turns); factor on saturation, contrast, around 1.
STRENGTHS = {
    "reduced": {"brightness": 16 / 255, "saturation": 0.25},
    "full": {"brightness": 32 / 255, "saturation": 0.5, "hue": 0.2, "contrast": 0.5},
}
_STREAM = 0x636F6C72  # sets these draws apart from others made from an example's key


def scale(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """Returns images [..., 3] with values in 0..255 normalised per channel, in dtype.

    Subtracts (123.675, 116.28, 103.53), divides by (58.395, 57.12, 57.375): mean and
    standard deviation of ImageNet's red, green and blue.
    """
    mean = jnp.array(MEAN, dtype)
    return (images.astype(dtype) - mean) / jnp.array(STANDARD_DEVIATION, dtype)


def distort(
    images: jax.Array, keys: jax.Array, strength: str, dtype=jnp.float32
) -> jax.Array:
    """Returns images with brightness, saturation, hue and contrast changed at random.

    Args:
      images: [B, H, W, 3], RGB in 0..255, uint8 or floating.
      keys: typed PRNG keys [B], one an example.
      strength: "none", "reduced" or "full".
      dtype: of the computation.

    Returns:
      [B, H, W, 3] in 0..255; of dtype, but for "none" the images as they are.
    """
    if strength == "none":
        return images
    amounts = jax.vmap(lambda key: _amounts(key, strength, dtype))(keys)
    amounts = {name: a[:, None, None, None] for name, a in amounts.items()}
    images = jnp.clip(images.astype(dtype) / 255 + amounts["brightness"], 0, 1)
    images = _adjust_saturation(images, amounts["saturation"])
    if "hue" in amounts:
        images = _adjust_hue(images, amounts["hue"])
    if "contrast" in amounts:
        mean = jnp.mean(images, axis=(1, 2), keepdims=True)  # per channel
        images = jnp.clip(mean + amounts["contrast"] * (images - mean), 0, 1)
    return images * 255


def _amounts(key: jax.Array, strength: str, dtype) -> dict[str, jax.Array]:
    """Returns one example's amounts, scalars: added to some, a factor on others."""
    halves = STRENGTHS[strength]
    key = jax.random.fold_in(key, _STREAM)
    draws = jax.random.uniform(key, (4,), dtype, minval=-1, maxval=1)
    names = ("brightness", "saturation", "hue", "contrast")
    neutral = {"brightness": 0, "saturation": 1, "hue": 0, "contrast": 1}
    drawn = dict(zip(names, draws, strict=True))
    return {name: neutral[name] + half * drawn[name] for name, half in halves.items()}


def _adjust_saturation(images, factor):
    """Returns RGB images in 0..1 with HSV's saturation times factor, at most 1."""
    value = jnp.max(images, axis=-1, keepdims=True)
    chroma = value - jnp.min(images, axis=-1, keepdims=True)
    # Grey has no saturation to change; the bound is 1 / saturation = value / chroma.
    most = value / jnp.where(chroma > 0, chroma, 1)
    return value - (value - images) * jnp.minimum(factor, most)


def _adjust_hue(images, turns):
    """Returns RGB images in 0..1 with HSV's hue moved by turns of the colour circle."""
    red, green, blue = images[..., 0], images[..., 1], images[..., 2]
    value = jnp.max(images, axis=-1)
    chroma = value - jnp.min(images, axis=-1)
    safe = jnp.where(chroma > 0, chroma, 1)
    # The hue in sixths of a turn, counted from the largest colour. Comparisons, as
    # value == red may be false where a compiler makes the two by different roundings.
    from_green, from_blue = 2 + (blue - red) / safe, 4 + (red - green) / safe
    hue = jnp.where(green >= blue, from_green, from_blue)
    red_is_largest = (red >= green) & (red >= blue)
    hue = jnp.where(red_is_largest, (green - blue) / safe, hue)
    sixths = (hue + 6 * turns[..., 0])[..., None] + jnp.array((5, 3, 1), images.dtype)
    sixths -= 6 * jnp.floor(sixths / 6)  # % is slow on CPU
    wave = jnp.clip(jnp.minimum(sixths, 4 - sixths), 0, 1)
    return value[..., None] - chroma[..., None] * wave
