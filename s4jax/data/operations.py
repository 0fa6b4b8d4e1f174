"""RandAugment's operations on the device, each after Pillow, on planes uint8 (N, C, S, S).

tabled        a new value for each of the 256 old ones, by image: invert, posterize, contrast, …
equalized     the same, but the table comes from the image's histogram
blended       a mix with a degenerate image: colour (with its grey), sharpness (with its blur)
sheared, rotated    Pillow's bicubic interpolation at other places
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from s4jax.data.resize import cubic

# In timm's order. The arrays `op` hold an index into this, or -1 for no operation.
OPERATIONS = (
    'autocontrast',
    'equalize',
    'invert',
    'rotate',
    'posterize',
    'solarize',
    'solarize_add',
    'colour',
    'contrast',
    'brightness',
    'sharpness',
    'shear_x',
    'shear_y',
    'translate_x',
    'translate_y',
)
INDEX = {name: index for index, name in enumerate(OPERATIONS)}
POSITION = jnp.int32  # of the pixels that are read: uint32 makes the TPU compiler abort


def equalized(images: jax.Array) -> jax.Array:
    """Pillow's ImageOps.equalize: the table is the running count of pixels, in steps of 1/255."""
    histogram = jax.vmap(jax.vmap(_histogram))(images)
    below = jnp.cumsum(histogram, axis=-1) - histogram
    # the pixels of the brightest level that occurs do not count
    step = jnp.max(jnp.where(histogram > 0, below, 0), axis=-1, keepdims=True) // 255
    tables = jnp.where(step > 0, (step // 2 + below) // jnp.maximum(step, 1), jnp.arange(256))
    return _look_up(images, _level(tables))


def tabled(images: jax.Array, op: jax.Array, magnitude: jax.Array, factor: jax.Array) -> jax.Array:
    """The operations whose table needs no histogram; op, magnitude, factor (N,).

    All tables are made for every image, and each image takes its own.
    """
    count, channels, height, width = images.shape
    value = jnp.arange(256)
    per_image = lambda a: a[:, None, None]
    low, high = (f(images, axis=(2, 3)).astype(jnp.int32)[:, :, None] for f in (jnp.min, jnp.max))
    stretched = (value - low) * 255 // jnp.maximum(high - low, 1)
    pixels = height * width
    mean = (2 * jnp.sum(_grey(images), axis=(2, 3)) + pixels) // (2 * pixels)
    factor = per_image(factor)
    discarded = per_image(4 + (0.4 * magnitude).astype(jnp.int32))  # bits; all 8 at magnitude 10
    threshold = per_image(256 - jnp.minimum(256, (25.6 * magnitude).astype(jnp.int32)))
    added = per_image((11 * magnitude).astype(jnp.int32))
    tables = {
        'autocontrast': jnp.where(high > low, stretched, value),
        'invert': 255 - value,
        'posterize': value >> discarded << discarded,
        'solarize': jnp.where(value < threshold, value, 255 - value),
        'solarize_add': jnp.where(value < 128, value + added, value),
        'contrast': _mix(mean[:, :, None], value, factor),
        'brightness': _mix(0, value, factor),
    }
    # a product, not a select: XLA would compute a selected table anew at every pixel that reads it
    own = jnp.stack([op == INDEX[name] for name in tables], axis=1).astype(jnp.float32)
    stacked = jnp.stack(
        [jnp.broadcast_to(table, (count, channels, 256)) for table in tables.values()], axis=1
    )
    levels = _level(stacked).astype(jnp.float32)
    chosen = jnp.einsum('nt,ntcv->ncv', own, levels, precision='highest')
    return _look_up(images, chosen.astype(jnp.uint8))


def blended(images: jax.Array, colour: jax.Array, factor: jax.Array) -> jax.Array:
    """Where `colour` (N,), a mix with the grey image, elsewhere with the smoothed one; factor (N,).

    The border of the smoothed image is the image's own.
    """
    per_image = lambda a: a[:, None, None, None]
    values = images.astype(jnp.float32)
    rows = values + jnp.roll(values, 1, axis=2) + jnp.roll(values, -1, axis=2)
    smooth = rows + jnp.roll(rows, 1, axis=3) + jnp.roll(rows, -1, axis=3) + 4 * values
    inner = np.pad(np.ones([size - 2 for size in images.shape[2:]], bool), 1)
    smooth = jnp.where(inner, jnp.round(smooth / 13), values)
    degenerate = jnp.where(per_image(colour), _grey(images), smooth)
    return _mix(degenerate, values, per_image(factor))


def sheared(
    fill: np.ndarray,
    images: jax.Array,
    horizontal: jax.Array,
    slope: jax.Array,
    offset: jax.Array,
) -> jax.Array:
    """Shears and translations along x where `horizontal`, elsewhere along y; all arguments (N,).

    fill (C,). Every column moves along y by itself; for those along x the image is transposed.
    """
    horizontal, slope, offset = (a[:, None, None] for a in (horizontal, slope, offset))
    turned = lambda images: jnp.where(horizontal[..., None], jnp.swapaxes(images, 2, 3), images)
    x = jnp.arange(images.shape[-1]) + 0.5
    from_y = x[:, None] + slope * x + offset
    return turned(_interpolated(fill, turned(images), x, from_y, columns=(1,)))


def rotated(fill: np.ndarray, images: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """About the centre, by angles of this cosine and sine (N,); fill (C,)."""
    cos, sin, half = cos[:, None, None], sin[:, None, None], images.shape[-1] / 2
    x = jnp.arange(images.shape[-1]) + 0.5 - half
    from_x, from_y = cos * x - sin * x[:, None] + half, sin * x + cos * x[:, None] + half
    return _interpolated(fill, images, from_x, from_y)


def _interpolated(
    fill: np.ndarray,
    images: jax.Array,
    from_x: jax.Array,
    from_y: jax.Array,
    columns: Sequence[int] = (0, 1, 2, 3),
) -> jax.Array:
    """The images (N, C, S, S) at places (N, S, S), by Pillow's BICUBIC; pixel i lies at i + 1/2.

    4 × 4 neighbours, those beyond the border repeated from it; `fill` where the place is outside.
    columns: which of the 4 count; where from_x is a pixel's centre, the second alone.
    """
    count, channels, size, _ = images.shape
    from_x, from_y = (jnp.broadcast_to(a, (count, size, size)) for a in (from_x, from_y))
    inside = ((from_x >= 0) & (from_x < size) & (from_y >= 0) & (from_y < size)).reshape(count, -1)
    from_x, from_y = (jnp.clip(a, 0, size).reshape(count, -1) - 0.5 for a in (from_x, from_y))
    left, top = jnp.floor(from_x), jnp.floor(from_y)
    weights_x, weights_y = (
        [cubic(t + 1 - i, -1) for i in range(4)] for t in (from_x - left, from_y - top)
    )

    # A read costs more than what is done with it: a 32-bit word holds 4 rows, and the words of
    # neighbouring columns are read together.
    padded = jnp.pad(images, ((0, 0), (0, 0), (2, 3), (2, 2)), mode='edge').astype(jnp.uint32)
    words = sum(padded[:, :, row : row + size + 2] << (8 * row) for row in range(4))
    first = ((top + 1) * (size + 4) + left + 1 + columns[0]).astype(POSITION)

    def channel(plane_and_fill: tuple[jax.Array, jax.Array]) -> jax.Array:
        plane, outside = plane_and_fill
        neighbours = _read(plane, first, len(columns))
        total: jax.Array | float = 0.0
        for i, column in enumerate(columns):
            rows = [(neighbours[..., i] >> (8 * row) & 255).astype(jnp.int32) for row in range(4)]
            total += weights_x[column] * sum(weight * row for weight, row in zip(weights_y, rows))
        # 2e-4: whole numbers stay whole in float32; Pillow cuts off in double precision
        return jnp.where(inside, _level(total + 2e-4), outside)

    # a loop, because XLA computes what is outside of it only once
    planes = jnp.moveaxis(words, 1, 0).reshape(channels, count, -1)
    result = lax.map(channel, (planes, jnp.asarray(fill, jnp.uint8)))
    return jnp.moveaxis(result, 0, 1).reshape(images.shape)


def _read(planes: jax.Array, first: jax.Array, length: int) -> jax.Array:
    """(N, P, length): of each plane (N, W), `length` words from every position `first` (N, P)."""

    def one(plane: jax.Array, position: jax.Array) -> jax.Array:
        # positions are never negative: without the check for it this is the plain read
        return lax.dynamic_slice(plane, (position,), (length,), allow_negative_indices=False)

    return jax.vmap(jax.vmap(one, (None, 0)))(planes, first)


def _level(values: ArrayLike) -> jax.Array:
    """Grey levels as Pillow makes them of floats: cut off, not rounded."""
    return jnp.clip(values, 0, 255).astype(jnp.uint8)


def _grey(images: jax.Array) -> jax.Array:
    """int32 (N, 1, S, S): ITU-R 601 luma in Pillow's 16-bit fixed point, or the grey image."""
    if images.shape[1] == 1:
        return images.astype(jnp.int32)
    red, green, blue = (images[:, channel, None].astype(jnp.int32) for channel in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16


def _mix(degenerate: jax.Array | int, images: jax.Array, factor: jax.Array) -> jax.Array:
    """Pillow's Image.blend: the degenerate image at factor 0, the image at 1, in float32."""
    return _level(degenerate + factor * (images - degenerate))


def _histogram(plane: jax.Array) -> jax.Array:
    """How many pixels of a plane (S, S) have each of the 256 grey levels, int32 (256,)."""
    return jnp.zeros(256, jnp.int32).at[plane.reshape(-1)].add(1, mode='promise_in_bounds')


def _look_up(images: jax.Array, tables: jax.Array) -> jax.Array:
    """Images uint8 (N, C, S, S) through tables uint8 (N, C, 256)."""
    plane = lambda image, table: table.at[image].get(mode='promise_in_bounds')
    return jax.vmap(jax.vmap(plane))(images, tables)
