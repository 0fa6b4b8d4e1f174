"""RandAugment on the device: timm's 15 'increasing' operations on a batch of uint8 images, after Pillow.

The operations are those of `rand-m9-mstd0.5-inc1` (Cubuk et al., arXiv:1909.13719, in timm's variant, which AutoFormer
trains with). Each is one of three vectorised primitives, so that no image ever takes a branch of its own:

  table   a new value for each of the 256 old ones, per channel: equalize, invert, posterize, contrast, ...
  blend   a mix of the image with a degenerate one: colour (with its grey), sharpness (with its blur)
  warp    an affine map with Pillow's bicubic interpolation: rotate, shear, translate
"""

import functools
import re
from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from s4jax.errors import UsageError

# In timm's order. The index of an operation is what the arrays `op` below hold; -1 is none at all.
OPERATIONS = ('autocontrast', 'equalize', 'invert', 'rotate', 'posterize', 'solarize', 'solarize_add', 'colour',
              'contrast', 'brightness', 'sharpness', 'shear_x', 'shear_y', 'translate_x', 'translate_y')
TABLES = ('autocontrast', 'invert', 'posterize', 'solarize', 'solarize_add', 'contrast', 'brightness')
BLENDS = ('colour', 'sharpness')
WARPS = ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')
INDEX = {name: index for index, name in enumerate(OPERATIONS)}

PROBABILITY = 0.5         # of applying an operation that was drawn (timm's default)
MAX_MAGNITUDE = 10
PIXELS_AT_ONCE = 2 ** 18  # bounds the memory of a primitive; smaller means less waste, larger fewer steps


class Policy(NamedTuple):
    """`layers` operations one after the other, each of magnitude normal(magnitude, std) clipped to [0, 10]."""
    magnitude: float
    std: float = 0.0
    layers: int = 2


def parse_policy(text):
    """timm's string for RandAugment, such as 'm9-mstd0.5-inc1' (a leading 'rand-' is allowed), as a Policy."""
    accepted = (f"rand_augment='{text}' is not understood: write '' for none, or parts joined by '-': m<magnitude, 0 to "
                f"{MAX_MAGNITUDE}>, mstd<standard deviation>, n<layers> and inc1, for example 'm9-mstd0.5-inc1'")
    parts = {}
    for part in text.removeprefix('rand-').split('-'):
        match = re.fullmatch(r'(m|mstd|n|inc)(\d+(?:\.\d+)?)', part)
        if not match or match[1] in parts:
            raise UsageError(accepted)
        parts[match[1]] = float(match[2])
    # timm without inc1 uses other scales for five operations, and mstd above 100 for a uniform magnitude
    if parts.get('inc') != 1 or not 0 <= parts.get('m', -1) <= MAX_MAGNITUDE or parts.get('mstd', 0) > 100 or (
            parts.get('n', 2) % 1):
        raise UsageError(accepted)
    return Policy(parts['m'], parts.get('mstd', 0.0), int(parts.get('n', 2)))


def draw(key, batch, policy):
    """What to do to each image: op (layers, B), -1 for nothing; magnitude (layers, B); negate (layers, B) bool."""
    shape = (policy.layers, batch)
    op_key, apply_key, magnitude_key, sign_key = jax.random.split(key, 4)
    op = jax.random.randint(op_key, shape, 0, len(OPERATIONS))
    apply = jax.random.bernoulli(apply_key, PROBABILITY, shape)
    magnitude = policy.magnitude + policy.std * jax.random.normal(magnitude_key, shape)
    return (jnp.where(apply, op, -1), jnp.clip(magnitude, 0, MAX_MAGNITUDE),
            jax.random.bernoulli(sign_key, 0.5, shape))


def rand_augment(key, images, policy, fill, shards=1):
    """A policy's operations drawn and applied; images uint8 (B, C, H, W); the rest as in `apply_operations`."""
    def layer(images, drawn):
        return apply_operations(images, *drawn, fill=fill, shards=shards), None
    return lax.scan(layer, images, draw(key, len(images), policy))[0]


def apply_operations(images, op, magnitude, negate, fill, shards=1):
    """One operation per image.

    images uint8 (B, C, H, W); op (B,) indices into OPERATIONS (-1: none); magnitude (B,) in [0, 10];
    negate (B,) bool, the other direction for the operations that have one; fill (C,) the grey levels that a warp shows
    outside the image. The batch lies on `shards` devices: this moves work, never a result.
    """
    drawn = op, magnitude, negate
    images = where_needed(_is(op, ('equalize',)), _equalized, images, drawn, shards)
    images = where_needed(_is(op, TABLES), _tabled, images, drawn, shards)
    images = where_needed(_is(op, BLENDS), _blended, images, drawn, shards)
    return where_needed(_is(op, WARPS), functools.partial(_warped, fill=fill), images, drawn, shards)


def _is(op, names):
    return jnp.isin(op, np.array([INDEX[name] for name in names]))


def where_needed(needed, primitive, images, arguments, shards):
    """`primitive(images, *arguments)` on the images that need it, the others as they are.

    Most images need a given primitive rarely (a warp: one in six), so those that do are taken a few at a time, from
    each shard its own. The number of steps depends on the data; what happens to an image does not depend on the others.
    """
    batch, *shape = images.shape
    if batch % shards:
        raise UsageError(f'a batch of {batch} images does not divide over {shards} devices')
    held = batch // shards
    step = max(1, min(held, PIXELS_AT_ONCE // (shards * int(np.prod(shape)))))
    needed, images, arguments = jax.tree.map(lambda a: a.reshape(shards, held, *a.shape[1:]),
                                             (needed, images, arguments))

    # the rows that need it come first; the others are `held`, beyond the end: read as the last row, never written
    rows = jnp.sort(jnp.where(needed, jnp.arange(held), held), axis=1)
    rows = jnp.pad(rows, ((0, 0), (0, -held % step)), constant_values=held)
    steps = -(-jnp.max(jnp.sum(needed, axis=1)) // step)

    def body(i, images):
        now = lax.dynamic_slice_in_dim(rows, i * step, step, axis=1)
        take = lambda a: jax.vmap(lambda a, row: a.at[row].get(mode='clip'))(a, now).reshape(-1, *a.shape[2:])
        new = primitive(take(images), *jax.tree.map(take, arguments)).reshape(shards, step, *shape)
        return jax.vmap(lambda a, row, value: a.at[row].set(value, mode='drop'))(images, now, new)

    return lax.fori_loop(0, steps, body, images).reshape(batch, *shape)


def _level(values):
    """Grey levels as Pillow makes them of floats: cut off, not rounded."""
    return jnp.clip(values, 0, 255).astype(jnp.uint8)


def _grey(images):
    """(N, 1, H, W) int32: ITU-R 601 luma in Pillow's 16-bit fixed point; a grey image is its own."""
    if images.shape[1] == 1:
        return images.astype(jnp.int32)
    red, green, blue = (images[:, channel, None].astype(jnp.int32) for channel in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 2 ** 15) >> 16


def _factor(magnitude, negate):
    """How much of the image a blend keeps: 1 is no change; 0.1 to 1.9."""
    return (100 + jnp.where(negate, -9, 9) * magnitude) / 100


def _mix(degenerate, images, factor):
    """Pillow's Image.blend: from the degenerate image (factor 0) to the image (1) and beyond; float32 as there."""
    return _level(degenerate + factor * (images - degenerate))


def _look_up(images, tables):
    """images uint8 (N, C, H, W) through tables uint8 (N, C, 256)."""
    plane = lambda image, table: table.at[image].get(mode='promise_in_bounds')
    return jax.vmap(jax.vmap(plane))(images, tables)


def _equalized(images, op, magnitude, negate):
    """Pillow's ImageOps.equalize: the table is the running count of pixels, in steps of 1/255 of them."""
    count, channels, height, width = images.shape
    first = 256 * jnp.arange(count * channels).reshape(count, channels, 1, 1)
    histogram = jnp.zeros(count * channels * 256, jnp.int32)
    histogram = histogram.at[(first + images).reshape(-1)].add(1, mode='promise_in_bounds')
    histogram = histogram.reshape(count, channels, 256)
    below = jnp.cumsum(histogram, axis=-1) - histogram
    # the pixels of the brightest level that occurs do not count
    counted = jnp.max(jnp.where(histogram > 0, below, 0), axis=-1, keepdims=True)
    step = counted // 255
    tables = jnp.where(step > 0, (step // 2 + below) // jnp.maximum(step, 1), jnp.arange(256))
    return _look_up(images, _level(tables))


def _tabled(images, op, magnitude, negate):
    """The operations that are a table and need no histogram: the tables of all, of which each image takes its own."""
    count, channels, height, width = images.shape
    value = jnp.arange(256)
    per_image = lambda a: a[:, None, None]
    low, high = (f(images, axis=(2, 3)).astype(jnp.int32)[:, :, None] for f in (jnp.min, jnp.max))
    stretched = (value - low) * 255 // jnp.maximum(high - low, 1)
    pixels = height * width
    mean = (2 * jnp.sum(_grey(images), axis=(2, 3)) + pixels) // (2 * pixels)
    factor = per_image(_factor(magnitude, negate))
    discarded = per_image(4 + (0.4 * magnitude).astype(jnp.int32))   # bits; all 8 at magnitude 10
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
    # a product, not a select: XLA would compute a selected table anew at every pixel that looks it up
    own = jnp.stack([op == INDEX[name] for name in tables], axis=1).astype(jnp.float32)
    tables = jnp.stack([jnp.broadcast_to(table, (count, channels, 256)) for table in tables.values()], axis=1)
    chosen = jnp.einsum('nt,ntcv->ncv', own, _level(tables).astype(jnp.float32), precision='highest').astype(jnp.uint8)
    return _look_up(images, chosen)


def _blended(images, op, magnitude, negate):
    """Colour: a mix with the grey image. Sharpness: with the smoothed one (1 around 5, over 13; the border is kept)."""
    per_image = lambda a: a[:, None, None, None]
    values = images.astype(jnp.float32)
    rows = values + jnp.roll(values, 1, axis=2) + jnp.roll(values, -1, axis=2)
    smooth = rows + jnp.roll(rows, 1, axis=3) + jnp.roll(rows, -1, axis=3) + 4 * values
    inner_y, inner_x = ((np.arange(size) > 0) & (np.arange(size) < size - 1) for size in images.shape[2:])
    smooth = jnp.where(inner_y[:, None] & inner_x, jnp.round(smooth / 13), values)
    degenerate = jnp.where(per_image(op == INDEX['colour']), _grey(images), smooth)
    return _mix(degenerate, values, per_image(_factor(magnitude, negate)))


def _affine(op, magnitude, negate, height, width):
    """(N, 6) coefficients a…f: output pixel centre (x, y) shows the input at (ax + by + c, dx + ey + f)."""
    amount = jnp.where(negate, -magnitude, magnitude) / MAX_MAGNITUDE
    of = lambda name, value: jnp.where(op == INDEX[name], value, 0)
    angle = of('rotate', jnp.deg2rad(-30 * amount))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    b, d = sin + of('shear_x', 0.3 * amount), of('shear_y', 0.3 * amount) - sin
    # rotation is about the centre, shearing about the upper left corner
    c = of('rotate', width / 2 - cos * width / 2 - sin * height / 2) + of('translate_x', 0.45 * width * amount)
    f = of('rotate', height / 2 + sin * width / 2 - cos * height / 2) + of('translate_y', 0.45 * height * amount)
    return jnp.stack([cos, b, c, d, cos, f], axis=-1)


def _cubic(t):
    """Weights of the 4 neighbours at distances 1 + t, t, 1 - t, 2 - t, for a = -1 as in Pillow's transforms."""
    return (t * (-1 + t * (2 - t)), 1 + t * t * (t - 2), t * (1 + t * (1 - t)), t * t * (t - 1))


def _warped(images, op, magnitude, negate, fill):
    """Pillow's Image.transform with BICUBIC: 4 x 4 neighbours, repeated at the border; `fill` outside the image."""
    count, channels, height, width = images.shape
    a, b, c, d, e, f = (x[:, None, None] for x in _affine(op, magnitude, negate, height, width).T)
    y, x = (jnp.arange(size) + 0.5 for size in (height, width))
    from_x, from_y = a * x + b * y[:, None] + c, d * x + e * y[:, None] + f
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    from_x, from_y = jnp.clip(from_x, 0, width) - 0.5, jnp.clip(from_y, 0, height) - 0.5
    left, top = jnp.floor(from_x), jnp.floor(from_y)
    weights_x, weights_y = (jnp.stack(_cubic(t.reshape(count, -1))) for t in (from_x - left, from_y - top))

    # A read costs more than what is done with it: so 4 rows lie in one 32-bit word, and 4 words are read at once.
    padded = jnp.pad(images, ((0, 0), (0, 0), (2, 3), (2, 2)), mode='edge').astype(jnp.uint32)
    words = sum(padded[:, :, row:row + height + 2] << (8 * row) for row in range(4))
    first = ((top + 1) * (width + 4) + left + 1).astype(jnp.uint32).reshape(count, -1)
    read = jax.vmap(jax.vmap(lambda plane, start: lax.dynamic_slice(plane, (start,), (4,)), (None, 0)))

    def channel(plane):
        four, total = read(plane, first), 0.0
        for column in range(4):
            rows = [(four[..., column] >> (8 * row) & 255).astype(jnp.int32).astype(jnp.float32) for row in range(4)]
            total += weights_x[column] * sum(weight * row for weight, row in zip(weights_y, rows))
        return _level(total + 2e-4)   # keeps whole numbers whole; Pillow cuts off in double precision

    warped = lax.map(channel, jnp.moveaxis(words, 1, 0).reshape(channels, count, -1))
    warped = jnp.moveaxis(warped, 0, 1).reshape(images.shape)
    return jnp.where(inside[:, None], warped, jnp.asarray(fill, jnp.uint8)[:, None, None])
