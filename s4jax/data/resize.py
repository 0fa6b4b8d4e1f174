"""Resizing on the device as products with weights, to the values of Pillow's BICUBIC."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def cubic(distance: jax.Array, a: float) -> jax.Array:
    """Keys' interpolation kernel, 0 from 2 on. Pillow resizes with a = -0.5, transforms with -1."""
    d = jnp.abs(distance)
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = (((d - 5) * d + 8) * d - 4) * a
    return jnp.where(d < 1, inner, jnp.where(d < 2, outer, 0))


def resize_weights(size_in: int, size_out: int, start: ArrayLike, length: ArrayLike) -> jax.Array:
    """Weights (…, size_out, size_in) that resize pixels [start, start + length) to size_out pixels.

    start, length: integers or int32 (B,). Pillow's BICUBIC (a = -0.5), widened where it shrinks.
    Nothing outside the box counts, as if the box had been cropped before.
    """
    start, length = (jnp.asarray(a, jnp.int32)[..., None, None] for a in (start, length))
    # output pixel i has its centre at (2i + 1)·length / (2·size_out), split exactly in integers
    twice = (2 * jnp.arange(size_out, dtype=jnp.int32)[:, None] + 1) * length
    whole, rest = twice // (2 * size_out), twice % (2 * size_out)
    pixel = jnp.arange(size_in, dtype=jnp.int32) - start
    distance = (pixel - whole).astype(jnp.float32) + 0.5 - rest / (2 * size_out)
    weights = cubic(distance / jnp.maximum(1, length / size_out), -0.5)
    weights = jnp.where((pixel >= 0) & (pixel < length), weights, 0)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def shifted(weights: jax.Array, by: jax.Array) -> jax.Array:
    """Weights (S, size) as (B, S, size): output pixel i is the old i + by (B,), or else black."""
    size = len(weights)
    source = jnp.arange(size) + by[:, None]
    exists = ((source >= 0) & (source < size))[..., None]
    return jnp.where(exists, weights[jnp.clip(source, 0, size - 1)], 0)


def resample(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """uint8 (B, H, W, C) to uint8 planes (B, C, S, T) by weights (B, S, H) and (B, T, W).

    Columns first, and rounded to grey levels after each pass, as in Pillow.
    """
    batch, height, width, channels = images.shape
    lines = jnp.moveaxis(images, -1, 1).reshape(batch, channels * height, width).astype(jnp.float32)
    planes = _product(lines, jnp.swapaxes(columns, 1, 2)).reshape(batch, channels, height, -1)
    # one product for all channels would give lines of all channels; sorting them costs as much
    resized = [_product(rows, planes[:, c]).astype(jnp.uint8) for c in range(channels)]
    return jnp.stack(resized, axis=1)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Batched matrix product, rounded to grey levels (as floats).

    Precision 'highest', because accelerators would round the weights to 8 or 10 bits otherwise.
    """
    return jnp.clip(jnp.floor(jnp.matmul(a, b, precision='highest') + 0.5), 0, 255)
