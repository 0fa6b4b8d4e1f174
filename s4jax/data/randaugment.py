"""RandAugment on the device: timm's 15 'increasing' operations on a batch of uint8 images, after Pillow.

The operations are those of `rand-m9-mstd0.5-inc1` (Cubuk et al., arXiv:1909.13719, in timm's variant, which
AutoFormer trains with). Each is one of three vectorised primitives, so no image takes a branch of its own:

  table   a new value for each of the 256 old ones, per channel: equalize, invert, posterize, contrast, …
  blend   a mix of the image with a degenerate one: colour (with its grey), sharpness (with its blur)
  warp    Pillow's bicubic interpolation at other places: rotate, shear, translate

Images are planes here, uint8 (B, C, S, S): reductions and shifts then run along contiguous memory.
"""

import functools
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.errors import UsageError

# In timm's order. The index of an operation is what the arrays `op` below hold; -1 is none at all.
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
TABLES = (
    'autocontrast',
    'invert',
    'posterize',
    'solarize',
    'solarize_add',
    'contrast',
    'brightness',
)
BLENDS = ('colour', 'sharpness')
SHEARS = ('shear_x', 'shear_y', 'translate_x', 'translate_y')
INDEX = {name: index for index, name in enumerate(OPERATIONS)}

PROBABILITY = 0.5  # of applying an operation that was drawn (timm's default)
MAX_MAGNITUDE = 10
VALUES_AT_ONCE = (
    2**15,
    2**20,
)  # that a primitive works on: fewer are not worth a step, more need memory


class Policy(NamedTuple):
    """`layers` operations in a row, each of a magnitude from normal(magnitude, std), cut to [0, 10]."""

    magnitude: float
    std: float = 0.0
    layers: int = 2


def parse_policy(text):
    """timm's string for RandAugment, such as 'm9-mstd0.5-inc1' or 'rand-m9-n2-mstd0.5-inc1', as a Policy."""
    text = text.removeprefix('rand-')
    parts = dict(re.findall(r'(?:^|-)(mstd|inc|m|n)(\d+(?:\.\d+)?)(?=-|$)', text))
    understood = '-'.join(name + value for name, value in parts.items()) == text
    magnitude, std = float(parts.get('m', -1)), float(parts.get('mstd', 0))
    # timm takes other scales without inc1, and a uniform magnitude where mstd is above 100
    if not (
        understood
        and parts.get('inc') == '1'
        and parts.get('n', '2').isdigit()
        and 0 <= magnitude <= MAX_MAGNITUDE
        and std <= 100
    ):
        raise UsageError(
            f"rand_augment='{text}' is not known: write '' for none, or parts joined by '-' as in "
            f"'m9-mstd0.5-inc1': m and the magnitude (0 to {MAX_MAGNITUDE}), inc1; at will mstd and its "
            f'standard deviation (else 0), n and the number of operations (else 2)'
        )
    return Policy(magnitude, std, int(parts.get('n', '2')))


def draw(key, batch, policy):
    """What each image is to undergo: op (-1 for nothing), magnitude, negate (bool), each (layers, B)."""
    shape = (policy.layers, batch)
    op_key, apply_key, magnitude_key, sign_key = jax.random.split(key, 4)
    op = jax.random.randint(op_key, shape, 0, len(OPERATIONS))
    apply = jax.random.bernoulli(apply_key, PROBABILITY, shape)
    magnitude = policy.magnitude + policy.std * jax.random.normal(magnitude_key, shape)
    return (
        jnp.where(apply, op, -1),
        jnp.clip(magnitude, 0, MAX_MAGNITUDE),
        jax.random.bernoulli(sign_key, 0.5, shape),
    )


def rand_augment(key, images, policy, fill, shards=1):
    """A policy's operations drawn and applied to uint8 (B, C, S, S); the rest as in `apply_operations`."""
    return apply_operations(images, *draw(key, len(images), policy), fill, shards)


def apply_operations(images, op, magnitude, negate, fill, shards=1):
    """One operation after the other on each image.

    images uint8 (B, C, S, S); op (layers, B) indices into OPERATIONS (-1: none); magnitude (layers, B) in
    [0, 10]; negate (layers, B) bool, the other direction for the operations that have one; fill (C,) the grey
    levels that a warp shows outside the image. shards: on how many devices the batch lies, which moves work
    but no result.
    """
    layer = lambda images, drawn: (_layer(images, *drawn, fill, shards), None)
    return lax.scan(layer, images, (op, magnitude, negate))[0]


def _layer(images, op, magnitude, negate, fill, shards):
    """One operation for each image; op, magnitude, negate (B,)."""
    signed = jnp.where(negate, -magnitude, magnitude) / MAX_MAGNITUDE
    # a blend keeps this much of the image: 1 is no change; 0.1 to 1.9
    factor = (100 + jnp.where(negate, -9, 9) * magnitude) / 100
    angle = jnp.deg2rad(30 * signed)
    slope = jnp.where(_is(op, ('shear_x', 'shear_y')), 0.3 * signed, 0)
    offset = jnp.where(_is(op, ('translate_x', 'translate_y')), 0.45 * images.shape[-1] * signed, 0)
    primitives = (
        (('equalize',), _equalized, ()),
        (TABLES, _tabled, (op, magnitude, factor)),
        (BLENDS, _blended, (_is(op, ('colour',)), factor)),
        (
            SHEARS,
            functools.partial(_sheared, fill),
            (_is(op, ('shear_x', 'translate_x')), slope, offset),
        ),
        (('rotate',), functools.partial(_rotated, fill), (jnp.cos(angle), jnp.sin(angle))),
    )
    for names, primitive, arguments in primitives:
        share = PROBABILITY * len(names) / len(OPERATIONS)
        images = where_needed(_is(op, names), share, primitive, images, arguments, shards)
    return images


def _is(op, names):
    return jnp.isin(op, np.array([INDEX[name] for name in names]))


def where_needed(needed, share, primitive, images, arguments, shards):
    """`primitive(images, *arguments)` on the images that need it, the others as they are.

    Few do (about `share` of them), so they are taken a few at a time, from each shard its own. The number of
    steps depends on the data; what happens to an image does not depend on the others.
    """
    batch, *shape = images.shape
    if batch % shards:
        raise UsageError(f'a batch of {batch} images does not divide over {shards} devices')
    held = batch // shards
    least, most = (
        max(1, min(held, values // (shards * int(np.prod(shape))))) for values in VALUES_AT_ONCE
    )
    step = max(least, min(most, round(held * share / 2)))
    needed, images, arguments = jax.tree.map(
        lambda a: a.reshape(shards, held, *a.shape[1:]), (needed, images, arguments)
    )

    # rows that need it come first; the others are `held`, beyond the end: read as the last row, never written
    rows = jnp.sort(jnp.where(needed, jnp.arange(held), held), axis=1)
    rows = jnp.pad(rows, ((0, 0), (0, -held % step)), constant_values=held)
    steps = -(-jnp.max(jnp.sum(needed, axis=1)) // step)

    def body(i, images):
        now = lax.dynamic_slice_in_dim(rows, i * step, step, axis=1)
        read = jax.vmap(lambda a, row: a.at[row].get(mode='clip'))
        take = lambda a: read(a, now).reshape(shards * step, *a.shape[2:])
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
    return (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16


def _mix(degenerate, images, factor):
    """Pillow's Image.blend: from the degenerate image (factor 0) to the image (1) and beyond, in float32."""
    return _level(degenerate + factor * (images - degenerate))


def _look_up(images, tables):
    """images uint8 (N, C, H, W) through tables uint8 (N, C, 256)."""
    plane = lambda image, table: table.at[image].get(mode='promise_in_bounds')
    return jax.vmap(jax.vmap(plane))(images, tables)


def _equalized(images):
    """Pillow's ImageOps.equalize: the table is the running count of pixels, in steps of 1/255 of them."""
    counted = lambda plane: (
        jnp.zeros(256, jnp.int32).at[plane.reshape(-1)].add(1, mode='promise_in_bounds')
    )
    histogram = jax.vmap(jax.vmap(counted))(images)
    below = jnp.cumsum(histogram, axis=-1) - histogram
    # the pixels of the brightest level that occurs do not count
    step = jnp.max(jnp.where(histogram > 0, below, 0), axis=-1, keepdims=True) // 255
    tables = jnp.where(step > 0, (step // 2 + below) // jnp.maximum(step, 1), jnp.arange(256))
    return _look_up(images, _level(tables))


def _tabled(images, op, magnitude, factor):
    """The operations whose table needs no histogram: all tables are made, each image takes its own."""
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
    # a product, not a select: XLA would compute a selected table anew at every pixel that looks it up
    own = jnp.stack([op == INDEX[name] for name in tables], axis=1).astype(jnp.float32)
    tables = jnp.stack(
        [jnp.broadcast_to(table, (count, channels, 256)) for table in tables.values()], axis=1
    )
    chosen = jnp.einsum(
        'nt,ntcv->ncv', own, _level(tables).astype(jnp.float32), precision='highest'
    )
    return _look_up(images, chosen.astype(jnp.uint8))


def _blended(images, colour, factor):
    """Colour: a mix with the grey image. Sharpness: with the smoothed one, whose border is the image's."""
    per_image = lambda a: a[:, None, None, None]
    values = images.astype(jnp.float32)
    rows = values + jnp.roll(values, 1, axis=2) + jnp.roll(values, -1, axis=2)
    smooth = rows + jnp.roll(rows, 1, axis=3) + jnp.roll(rows, -1, axis=3) + 4 * values
    inner = np.pad(np.ones([size - 2 for size in images.shape[2:]], bool), 1)
    smooth = jnp.where(inner, jnp.round(smooth / 13), values)
    degenerate = jnp.where(per_image(colour), _grey(images), smooth)
    return _mix(degenerate, values, per_image(factor))


def cubic(distance, a):
    """Keys' interpolation kernel, 0 from 2 on. Pillow resizes with a = -0.5 and transforms with a = -1."""
    d = jnp.abs(distance)
    return jnp.where(
        d < 1,
        ((a + 2) * d - (a + 3)) * d * d + 1,
        jnp.where(d < 2, (((d - 5) * d + 8) * d - 4) * a, 0),
    )


def _sheared(fill, images, horizontal, slope, offset):
    """Shears and translations: every column moves along y by itself (for those along x, transposed)."""
    horizontal, slope, offset = (a[:, None, None] for a in (horizontal, slope, offset))
    turned = lambda images: jnp.where(horizontal[..., None], jnp.swapaxes(images, 2, 3), images)
    x = jnp.arange(images.shape[-1]) + 0.5
    return turned(
        _interpolated(fill, turned(images), x, x[:, None] + slope * x + offset, columns=(1,))
    )


def _rotated(fill, images, cos, sin):
    """About the centre."""
    cos, sin, half = cos[:, None, None], sin[:, None, None], images.shape[-1] / 2
    x = jnp.arange(images.shape[-1]) + 0.5 - half
    return _interpolated(
        fill, images, cos * x - sin * x[:, None] + half, sin * x + cos * x[:, None] + half
    )


def _interpolated(fill, images, from_x, from_y, columns=(0, 1, 2, 3)):
    """The images (N, C, S, S) at places (N, S, S), where pixel i has its centre at i + 1/2: Pillow's BICUBIC.

    4 x 4 neighbours, those beyond the border repeated from it; `fill` where the place itself is outside.
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

    # a read costs more than what is done with it: so a 32-bit word holds 4 rows, and words are read together
    padded = jnp.pad(images, ((0, 0), (0, 0), (2, 3), (2, 2)), mode='edge').astype(jnp.uint32)
    words = sum(padded[:, :, row : row + size + 2] << (8 * row) for row in range(4))
    first = ((top + 1) * (size + 4) + left + 1 + columns[0]).astype(jnp.uint32)
    read = jax.vmap(
        jax.vmap(lambda plane, at: lax.dynamic_slice(plane, (at,), (len(columns),)), (None, 0))
    )

    def channel(plane_and_fill):
        plane, outside = plane_and_fill
        neighbours, total = read(plane, first), 0.0
        for i, column in enumerate(columns):
            rows = [(neighbours[..., i] >> (8 * row) & 255).astype(jnp.int32) for row in range(4)]
            total += weights_x[column] * sum(weight * row for weight, row in zip(weights_y, rows))
        # 2e-4: whole numbers stay whole in float32; Pillow cuts off in double precision
        return jnp.where(inside, _level(total + 2e-4), outside)

    # a loop, because XLA computes what is outside of it only once
    planes = jnp.moveaxis(words, 1, 0).reshape(channels, count, -1)
    result = lax.map(channel, (planes, jnp.asarray(fill, jnp.uint8)))
    return jnp.moveaxis(result, 0, 1).reshape(images.shape)
