"""Resizing against the definition of the cubic and against Pillow."""

import jax
import numpy as np
import pytest
from photographs import BICUBIC, resized
from PIL import Image
from sklearn.datasets import load_sample_images

from s4jax.data import boxes, resize


def reference_weights(size_in, size_out, start, length):
    """Bicubic weights with a = -0.5 in double precision, from the definition."""
    scale = length / size_out
    stretch = max(1.0, scale)
    weights = np.zeros((size_out, size_in))
    for i in range(size_out):
        for pixel in range(start, start + length):
            d = abs((pixel - start + 0.5 - (i + 0.5) * scale) / stretch)
            weights[i, pixel] = (
                1.5 * d**3 - 2.5 * d**2 + 1
                if d < 1
                else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
                if d < 2
                else 0
            )
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(
    'size_in, size_out, start, length',
    [(32, 224, 0, 32), (40, 40, 0, 40), (500, 224, 0, 500), (427, 96, 130, 251), (64, 50, 63, 1)],
)
def test_resize_weights_are_the_cubics(size_in, size_out, start, length):
    weights = jax.jit(resize.resize_weights, static_argnums=(0, 1))(
        size_in, size_out, start, length
    )
    expected = reference_weights(size_in, size_out, start, length)
    assert np.abs(weights - expected).max() < 1e-6
    columns = np.resize(load_sample_images().images[0][:, :8, 0], (size_in, 8)) / 255
    assert (
        np.abs(np.asarray(weights) @ columns.astype(np.float32) - expected @ columns).max() < 1e-5
    )


def test_random_resized_crop_is_pillows_resize_of_the_same_box():
    batch, (height, width), size = 24, (90, 120), 64
    photo = Image.fromarray(load_sample_images().images[1]).resize((width, height))

    @jax.jit
    def crops(key, images):
        found = boxes.random_box(key, batch, height, width, (0.08, 1.0), (3 / 4, 4 / 3))
        top, left, tall, wide = (a.at[0].set(b) for a, b in zip(found, (0, 0, height, width)))
        rows = resize.resize_weights(height, size, top, tall)
        columns = resize.resize_weights(width, size, left, wide)
        return (left, top, left + wide, top + tall), resize.resample(images, rows, columns)

    images = np.broadcast_to(np.asarray(photo), (batch, height, width, 3))
    corners, results = crops(jax.random.key(1), images)
    corners, results = np.array(corners).T, np.moveaxis(np.asarray(results), 1, -1)
    tall = corners[:, 3] - corners[:, 1]
    assert tall.min() < size < tall.max()  # both enlarged and shrunk
    for box, result in zip(corners, results):
        off = np.abs(result - resized(photo.crop(box.tolist()), size, size))
        assert off.max() <= 1 and np.mean(off > 0) < 1e-3
    # Pillow's box argument looks beyond the box; the first box here is the whole image
    narrow = photo.resize((size, height), BICUBIC, box=(0, 0, width, height))
    expected = narrow.resize((size, size), BICUBIC)
    assert np.abs(results[0] - np.asarray(expected, int)).max() <= 1
