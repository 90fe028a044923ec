import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro.data import augment

distort = jax.jit(augment.distort, static_argnums=(2, 3))
KEYS = jax.vmap(jax.random.key)(jnp.arange(6))


def make_images(count=6, size=5):
    """Returns random uint8 images whose first pixels are special colours."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    images[:, 0, :4] = [[0, 0, 0], [255, 255, 255], [90, 90, 90], [255, 0, 0]]
    return images


def per_pixel(function, images):
    """Applies a function of (h, s, v) to every RGB pixel in 0..1."""
    flat = images.reshape(-1, 3)
    changed = [colorsys.hsv_to_rgb(*function(*colorsys.rgb_to_hsv(*p))) for p in flat]
    return np.array(changed).reshape(images.shape)


def oracle(image, amounts):
    """TF-Slim's slow mode in float64: brightness, saturation, hue, contrast."""
    image = np.clip(image / 255 + amounts.get("brightness", 0), 0, 1)
    saturation, hue = amounts.get("saturation", 1), amounts.get("hue", 0)
    image = per_pixel(lambda h, s, v: (h, min(s * saturation, 1), v), image)
    image = per_pixel(lambda h, s, v: ((h + hue) % 1, s, v), image)
    mean = image.mean(axis=(0, 1))
    return np.clip(mean + amounts.get("contrast", 1) * (image - mean), 0, 1) * 255


def test_scale_normalises_each_channel_with_imagenets_moments():
    images = make_images()
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = (images / 255.0 - mean) / std
    found = augment.scale(images)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert augment.scale(images, jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize("strength", ["reduced", "full"])
def test_distort_is_tf_slims(strength):
    images = make_images()
    found = distort(images, KEYS, strength)
    assert found.dtype == jnp.float32
    for image, key, distorted in zip(images, KEYS, found, strict=True):
        amounts = augment._amounts(key, strength, jnp.float32)
        amounts = {name: float(amount) for name, amount in amounts.items()}
        np.testing.assert_allclose(distorted, oracle(image, amounts), atol=2e-3)
        assert np.abs(distorted - image).max() > 1


def test_distort_in_float64_agrees_with_float64():
    with jax.enable_x64(True):
        images = make_images(1)
        found = distort(images, KEYS[:1], "full", jnp.float64)
        assert found.dtype == jnp.float64
        amounts = augment._amounts(KEYS[0], "full", jnp.float64)
        expected = oracle(images[0], {k: float(v) for k, v in amounts.items()})
    np.testing.assert_allclose(found[0], expected, atol=1e-9)


def test_none_leaves_the_images():
    images = make_images()
    assert augment.distort(images, KEYS, "none") is images


@pytest.mark.parametrize(
    ("strength", "ranges"),
    [
        (
            "full",
            {
                "brightness": (-32 / 255, 32 / 255),
                "saturation": (0.5, 1.5),
                "hue": (-0.2, 0.2),
                "contrast": (0.5, 1.5),
            },
        ),
        (
            "reduced",
            {"brightness": (-16 / 255, 16 / 255), "saturation": (0.75, 1.25)},
        ),
    ],
)
def test_amounts_are_uniform_over_tf_slims_ranges(strength, ranges):
    keys = jax.vmap(jax.random.key)(jnp.arange(2_000))
    draw = jax.vmap(lambda key: augment._amounts(key, strength, jnp.float32))
    amounts = jax.jit(draw)(keys)
    assert amounts.keys() == ranges.keys()
    for name, (low, high) in ranges.items():
        place = np.sort((np.asarray(amounts[name]) - low) / (high - low))
        assert place[0] >= 0 and place[-1] <= 1
        np.testing.assert_allclose(place, np.linspace(0, 1, 2_000), atol=0.05)
    correlations = np.corrcoef(np.stack([amounts[name] for name in ranges]))
    assert np.abs(correlations - np.eye(len(ranges))).max() < 0.1


def test_an_example_depends_on_its_own_key_and_pixels_only():
    images = make_images()
    whole = distort(images, KEYS, "full")
    order = np.array([4, 0, 5, 2, 1, 3])
    turned = distort(images[order], KEYS[order], "full")
    np.testing.assert_array_equal(turned, whole[order])
    one = distort(images[2:3], KEYS[2:3], "full")
    np.testing.assert_allclose(one[0], whole[2], atol=1e-3)
