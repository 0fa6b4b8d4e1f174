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
    """A policy's operations drawn and applied; images uint8 (B, S, S, C); the rest as in `apply_operations`."""
    def layer(images, drawn):
        return apply_operations(images, *drawn, fill=fill, shards=shards), None
    return lax.scan(layer, images, draw(key, len(images), policy))[0]


def apply_operations(images, op, magnitude, negate, fill, shards=1):
    """One operation per image.

    images uint8 (B, H, W, C), C at most 4; op (B,) indices into OPERATIONS (-1: none); magnitude (B,) in [0, 10];
    negate (B,) bool, the other direction for the operations that have one; fill (C,) the grey levels that a warp shows
    outside the image. The batch lies on `shards` devices: this moves work, never a result.
    """
    drawn = op, magnitude, negate
    images = _where(_is(op, ('equalize',)), _equalized, images, drawn, shards)
    images = _where(_is(op, TABLES), _tabled, images, drawn, shards)
    images = _where(_is(op, BLENDS), _blended, images, drawn, shards)
    return _where(_is(op, WARPS), functools.partial(_warped, fill=fill), images, drawn, shards)


def _is(op, names):
    return jnp.isin(op, np.array([INDEX[name] for name in names]))


def _where(needed, primitive, images, drawn, shards):
    """`primitive(images, *drawn)` on the images that need it, the others as they are.

    Most images need a given primitive rarely (a warp: one in six), so those that do are taken a few at a time, from
    each shard its own. The number of steps depends on the data; what happens to an image does not depend on the others.
    """
    batch, *shape = images.shape
    if batch % shards:
        raise UsageError(f'a batch of {batch} images does not divide over {shards} devices')
    held = batch // shards
    step = max(1, min(held, PIXELS_AT_ONCE // (shards * int(np.prod(shape)))))
    sharded = jax.tree.map(lambda a: a.reshape(shards, held, *a.shape[1:]), (needed, images, drawn))
    needed, images, drawn = sharded

    # the rows that need it come first; the others are `held`, beyond the end: read as the last row, never written
    rows = jnp.sort(jnp.where(needed, jnp.arange(held), held), axis=1)
    rows = jnp.pad(rows, ((0, 0), (0, -held % step)), constant_values=held)
    steps = -(-jnp.max(jnp.sum(needed, axis=1)) // step)

    def body(i, images):
        now = lax.dynamic_slice_in_dim(rows, i * step, step, axis=1)
        taken = jax.tree.map(lambda a: jax.vmap(lambda a, row: a.at[row].get(mode='clip'))(a, now), (images, drawn))
        flat_images, flat_drawn = jax.tree.map(lambda a: a.reshape(shards * step, *a.shape[2:]), taken)
        new = primitive(flat_images, *flat_drawn).reshape(shards, step, *shape)
        return jax.vmap(lambda a, row, value: a.at[row].set(value, mode='drop'))(images, now, new)

    return lax.fori_loop(0, steps, body, images).reshape(batch, *shape)


def _level(values):
    """Grey levels as Pillow makes them of floats: cut off, not rounded."""
    return jnp.clip(values, 0, 255).astype(jnp.uint8)


def _grey(images):
    """(N, H, W, 1) int32: ITU-R 601 luma in Pillow's 16-bit fixed point; a grey image is its own."""
    if images.shape[-1] == 1:
        return images.astype(jnp.int32)
    return (jnp.sum(images.astype(jnp.int32) * np.array([19595, 38470, 7471]), axis=-1, keepdims=True) + 2 ** 15) >> 16


def _factor(magnitude, negate):
    """How much of the image a blend keeps: 1 is no change; 0.1 to 1.9."""
    return jnp.where(negate, 1 - 0.09 * magnitude, 1 + 0.09 * magnitude)


def _mix(degenerate, images, factor):
    """Pillow's Image.blend: from the degenerate image (factor 0) to the image (1) and beyond; float32 as there."""
    return _level(degenerate + factor * (images - degenerate))


def _look_up(images, tables):
    """images uint8 (N, H, W, C) through tables uint8 (N, C, 256)."""
    def one(image, table):
        channels = [table[c].at[image[..., c]].get(mode='promise_in_bounds') for c in range(image.shape[-1])]
        return jnp.stack(channels, axis=-1)
    return jax.vmap(one)(images, tables)


def _equalized(images, op, magnitude, negate):
    """Pillow's ImageOps.equalize: the table is the running count of pixels, in steps of 1/255 of them."""
    count, *_, channels = images.shape
    first = 256 * jnp.arange(count * channels).reshape(count, 1, 1, channels)
    histogram = jnp.zeros(count * channels * 256, jnp.int32)
    histogram = histogram.at[(first + images).reshape(-1)].add(1, mode='promise_in_bounds')
    histogram = histogram.reshape(count, channels, 256)
    running = jnp.cumsum(histogram, axis=-1)
    below = running - histogram
    # the pixels of the brightest level that occurs do not count
    counted = jnp.max(jnp.where(histogram > 0, below, 0), axis=-1, keepdims=True)
    step = counted // 255
    tables = jnp.where(step > 0, (step // 2 + below) // jnp.maximum(step, 1), jnp.arange(256))
    return _look_up(images, _level(tables))


def _tabled(images, op, magnitude, negate):
    value = jnp.arange(256)
    per_image = lambda a: a[:, None, None]
    # autocontrast: the darkest level becomes 0, the brightest 255, per channel
    low, high = (f(images, axis=(1, 2)).astype(jnp.int32)[:, :, None] for f in (jnp.min, jnp.max))
    stretched = (value - low) * 255 // jnp.maximum(high - low, 1)
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * jnp.sum(_grey(images), axis=(1, 2)) + pixels) // (2 * pixels)
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
    # numbers first, images only once: the tables are small, and the image is looked up in the chosen one
    shape = (len(images), images.shape[-1], 256)
    chosen = jnp.select([jnp.broadcast_to(per_image(op == INDEX[name]), shape) for name in tables],
                        [jnp.broadcast_to(_level(table), shape) for table in tables.values()])
    return _look_up(images, chosen)


def _blended(images, op, magnitude, negate):
    per_image = lambda a: a[:, None, None, None]
    values = images.astype(jnp.float32)
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    smooth = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * values[:, 1:-1, 1:-1]
    # Pillow leaves the border of a smoothed image as it was
    smooth = values.at[:, 1:-1, 1:-1].set(jnp.round(smooth / 13))
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
    count, height, width, channels = images.shape
    a, b, c, d, e, f = (x[:, None, None] for x in _affine(op, magnitude, negate, height, width).T)
    y, x = (jnp.arange(size) + 0.5 for size in (height, width))
    y = y[:, None]
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    from_x, from_y = jnp.clip(from_x, 0, width) - 0.5, jnp.clip(from_y, 0, height) - 0.5
    left, top = jnp.floor(from_x), jnp.floor(from_y)
    weights_x, weights_y = _cubic(from_x - left), _cubic(from_y - top)

    # One 32-bit word a pixel, borders repeated twice: one read brings all channels, at an offset that needs no clipping.
    words = jnp.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode='edge')
    words = lax.bitcast_convert_type(jnp.pad(words, ((0, 0), (0, 0), (0, 0), (0, 4 - channels))), jnp.uint32)
    stride = width + 4
    words = words.reshape(count, -1)
    at = ((top.astype(jnp.int32) + 1) * stride + left.astype(jnp.int32) + 1).reshape(count, -1)
    totals = [0.0] * channels
    for row in range(4):
        sums = [0.0] * channels
        for column in range(4):
            offset = at + (row * stride + column)
            word = jax.vmap(lambda w, i: w.at[i].get(mode='promise_in_bounds'))(words, offset)
            word = word.reshape(inside.shape)
            for channel in range(channels):
                value = (word >> (8 * channel)) & 255
                sums[channel] += weights_x[column] * value.astype(jnp.int32).astype(jnp.float32)
        totals = [total + weights_y[row] * part for total, part in zip(totals, sums)]
    # the 1/1000 keeps whole numbers whole in float32; Pillow cuts off in double precision
    warped = _level(jnp.stack(totals, axis=-1) + 1e-3)
    return jnp.where(inside[..., None], warped, jnp.asarray(fill, jnp.uint8))
