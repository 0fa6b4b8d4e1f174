"""RandAugment on the device: timm's 15 'increasing' operations on a batch of uint8 images.

They are those of `rand-m9-mstd0.5-inc1` (Cubuk et al., arXiv:1909.13719, in timm's variant, which
AutoFormer trains with). Images are planes here, uint8 (B, C, S, S): reductions and shifts then run
along contiguous memory. No image takes a branch of its own: each kind of operation runs on the few
images of the batch that drew one of it.
"""

import functools
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.data import operations
from s4jax.data.operations import INDEX, OPERATIONS
from s4jax.data.subset import where_needed
from s4jax.errors import UsageError

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

PROBABILITY = 0.5  # of applying an operation that was drawn (timm's default)
MAX_MAGNITUDE = 10
MAX_LAYERS = 15  # operations in a row


class Policy(NamedTuple):
    """`layers` operations in a row, each of a magnitude from normal(magnitude, std) in [0, 10]."""

    magnitude: float
    std: float = 0.0
    layers: int = 2


class Drawn(NamedTuple):
    """The operations of a batch, each array (layers, B), or (B,) for one layer.

    op int32: indices into OPERATIONS, -1 for none. magnitude float32, in [0, 10]. negate bool: the
    other direction, for the operations that have one.
    """

    op: jax.Array
    magnitude: jax.Array
    negate: jax.Array


def parse_policy(text: str) -> Policy:
    """timm's text for RandAugment, such as 'm9-mstd0.5-inc1' or 'rand-m9-n2-inc1', as a Policy."""
    text = text.removeprefix('rand-')
    parts = dict(re.findall(r'(?:^|-)(mstd|inc|m|n)(\d+(?:\.\d+)?)(?=-|$)', text, re.ASCII))
    understood = '-'.join(name + value for name, value in parts.items()) == text
    magnitude, std = float(parts.get('m', -1)), float(parts.get('mstd', 0))
    layers = parts.get('n', '2')
    if not (
        understood
        and parts.get('inc') == '1'  # timm takes other scales without it
        and layers.isdigit()
        and 1 <= int(layers) <= MAX_LAYERS
        and 0 <= magnitude <= MAX_MAGNITUDE
        and std <= MAX_MAGNITUDE
    ):
        raise UsageError(
            "not a known policy; write '' for none, or parts joined by '-', as in "
            f"'m9-mstd0.5-inc1': inc1, m and the magnitude (0 to {MAX_MAGNITUDE}), "
            f'optionally mstd and its standard deviation (0 to {MAX_MAGNITUDE}, else 0) '
            f'and n and the number of operations (1 to {MAX_LAYERS}, else 2)'
        )
    return Policy(magnitude, std, int(layers))


def draw(key: jax.Array, batch: int, policy: Policy) -> Drawn:
    """Operations for each image of a batch."""
    shape = (policy.layers, batch)
    op_key, apply_key, magnitude_key, sign_key = jax.random.split(key, 4)
    op = jax.random.randint(op_key, shape, 0, len(OPERATIONS))
    apply = jax.random.bernoulli(apply_key, PROBABILITY, shape)
    magnitude = policy.magnitude + policy.std * jax.random.normal(magnitude_key, shape)
    return Drawn(
        jnp.where(apply, op, -1),
        jnp.clip(magnitude, 0, MAX_MAGNITUDE),
        jax.random.bernoulli(sign_key, 0.5, shape),
    )


def rand_augment(
    key: jax.Array, images: jax.Array, policy: Policy, fill: np.ndarray, shards: int = 1
) -> jax.Array:
    """A policy's operations, drawn for and applied to images uint8 (B, C, S, S).

    fill: see `apply_operations`.
    """
    return apply_operations(images, draw(key, len(images), policy), fill, shards)


def apply_operations(
    images: jax.Array, drawn: Drawn, fill: np.ndarray, shards: int = 1
) -> jax.Array:
    """One operation after the other on each image, uint8 (B, C, S, S).

    fill (C,): the grey levels that rotations, shears and translations show outside the image.
    shards: on how many devices the batch lies, which changes where work is done but no result.
    """

    def layer(images: jax.Array, drawn: Drawn) -> tuple[jax.Array, None]:
        return _layer(images, drawn, fill, shards), None

    return lax.scan(layer, images, drawn)[0]


def _layer(images: jax.Array, drawn: Drawn, fill: np.ndarray, shards: int) -> jax.Array:
    """One operation, drawn (B,), for each image."""
    op, magnitude, negate = drawn
    signed = jnp.where(negate, -magnitude, magnitude) / MAX_MAGNITUDE
    # a blend keeps this much of the image: 1 is no change; 0.1 to 1.9
    factor = (100 + jnp.where(negate, -9, 9) * magnitude) / 100
    angle = jnp.deg2rad(30 * signed)
    slope = jnp.where(_is(op, ('shear_x', 'shear_y')), 0.3 * signed, 0)
    offset = jnp.where(_is(op, ('translate_x', 'translate_y')), 0.45 * images.shape[-1] * signed, 0)
    sheared, rotated = (
        functools.partial(f, fill) for f in (operations.sheared, operations.rotated)
    )
    kinds = (
        (('equalize',), operations.equalized, ()),
        (TABLES, operations.tabled, (op, magnitude, factor)),
        (BLENDS, operations.blended, (_is(op, ('colour',)), factor)),
        (SHEARS, sheared, (_is(op, ('shear_x', 'translate_x')), slope, offset)),
        (('rotate',), rotated, (jnp.cos(angle), jnp.sin(angle))),
    )
    for names, operation, arguments in kinds:
        share = PROBABILITY * len(names) / len(OPERATIONS)
        images = where_needed(_is(op, names), share, operation, images, arguments, shards)
    return images


def _is(op: jax.Array, names: tuple[str, ...]) -> jax.Array:
    """Where `op` is one of the operations of these names: bool, of its shape."""
    return jnp.isin(op, np.array([INDEX[name] for name in names]))
