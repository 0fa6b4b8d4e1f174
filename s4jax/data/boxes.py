"""Random boxes of images: which one is cropped, which is erased, which is exchanged by cutmix."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.data.subset import where_needed

TRIES = 10  # for a box that fits, in cropping and erasing, as in timm
ERASED_AREA = (0.02, 1 / 3)  # of the image
ERASED_RATIO = (0.3, 1 / 0.3)  # height to width
SPARE_NOISE = 2**16  # normal numbers drawn for a batch beyond those that erase one whole image

Range = tuple[float, ...]  # lowest and highest


def random_box(
    key: jax.Array, batch: int, height: int, width: int, scale: Range, ratio: Range
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """top, left, height, width, each int32 (B,), as torchvision's RandomResizedCrop.

    The first of 10 boxes that fits, with an area of `scale` of the image and a `ratio` of width to
    height; where none of them fits, the centre, as much of it as the ratio allows.
    """
    shape_key, place_key = jax.random.split(key)
    tall, wide = _random_sides(shape_key, batch, height * width, scale, ratio)
    valid = (wide <= width) & (tall <= height) & (wide > 0) & (tall > 0)
    fits, wide, tall = _first(valid, wide, tall)
    most_wide = round(height * ratio[1]) if width / height > ratio[1] else width
    most_tall = round(width / ratio[0]) if width / height < ratio[0] else height
    wide, tall = jnp.where(fits, wide, most_wide), jnp.where(fits, tall, most_tall)
    top, left = _place(place_key, height - tall, width - wide)
    top = jnp.where(fits, top, (height - most_tall) // 2)
    left = jnp.where(fits, left, (width - most_wide) // 2)
    return top, left, tall, wide


def _random_sides(
    key: jax.Array, batch: int, area: int, scale: Range, ratio: Range
) -> tuple[jax.Array, jax.Array]:
    """Whole sides, each (TRIES, B): `scale` of the area, the second over the first in `ratio`."""
    area_key, ratio_key = jax.random.split(key)
    shape = (TRIES, batch)
    areas = area * jax.random.uniform(area_key, shape, minval=scale[0], maxval=scale[1])
    low, high = np.log(ratio)
    ratios = jnp.exp(jax.random.uniform(ratio_key, shape, minval=low, maxval=high))
    return jnp.round(jnp.sqrt(areas / ratios)), jnp.round(jnp.sqrt(areas * ratios))


def _first(valid: jax.Array, *candidates: jax.Array) -> tuple[jax.Array, ...]:
    """Whether a candidate (TRIES, B) is valid, (B,); then the first valid one of each, as int32."""
    first = jnp.argmax(valid, axis=0)[None]
    taken = (jnp.take_along_axis(a, first, axis=0)[0].astype(jnp.int32) for a in candidates)
    return jnp.any(valid, axis=0), *taken


def _place(key: jax.Array, *room: jax.Array) -> list[jax.Array]:
    """For each room (B,), a uniform integer from 0 to it."""
    share = jax.random.uniform(key, (len(room), *room[0].shape))
    return [jnp.minimum(jnp.floor(u * (r + 1)).astype(jnp.int32), r) for u, r in zip(share, room)]


def _inside(
    height: int, width: int, top: jax.Array, left: jax.Array, tall: jax.Array, wide: jax.Array
) -> jax.Array:
    """bool (B, height, width): inside the boxes, whose four numbers are (B,) each."""
    rows, columns = _between(height, top, tall), _between(width, left, wide)
    return rows[:, :, None] & columns[:, None, :]


def _between(size: int, first: jax.Array, length: jax.Array) -> jax.Array:
    """bool (B, size): from first (B,) on, length (B,) of them."""
    first, length = first[:, None], length[:, None]
    return (jnp.arange(size) >= first) & (jnp.arange(size) < first + length)


def erase(key: jax.Array, pixels: jax.Array, probability: float, shards: int = 1) -> jax.Array:
    """With `probability`, a box of an image (B, S, S, C) becomes normal noise: timm's 'pixel' mode.

    shards: on how many devices the batch lies.
    """
    batch, height, width, channels = pixels.shape
    erase_key, shape_key, place_key, noise_key = jax.random.split(key, 4)
    wide, tall = _random_sides(shape_key, batch, height * width, ERASED_AREA, ERASED_RATIO)
    fits, wide, tall = _first((wide < width) & (tall < height), wide, tall)
    top, left = _place(place_key, height - tall, width - wide)
    erased = fits & jax.random.bernoulli(erase_key, probability, (batch,))

    # Normal numbers cost more than all the rest: a large batch reads them from one field, each
    # image from a place of its own.
    one = height * width * channels
    drawn = min(batch * one, one + SPARE_NOISE)
    field = jax.random.normal(noise_key, (drawn,))
    starts = jnp.asarray(np.linspace(0, drawn - one, batch).astype(np.int32))

    def filled(pixels: jax.Array, start: jax.Array, *box: jax.Array) -> jax.Array:
        noise = jax.vmap(lambda start: lax.dynamic_slice(field, (start,), (one,)))(start)
        inside = _inside(height, width, *box)[..., None]
        return jnp.where(inside, noise.reshape(pixels.shape), pixels)

    arguments = starts, top, left, tall, wide
    return where_needed(erased, probability, filled, pixels, arguments, shards)


def mix(
    key: jax.Array,
    pixels: jax.Array,
    targets: jax.Array,
    mixup: float,
    cutmix: float,
    switch: float,
) -> tuple[jax.Array, jax.Array]:
    """Mixup or cutmix of a batch with itself reversed, one λ and one box for all: timm's 'batch'.

    pixels (B, S, S, C), targets (B, classes). An image's share of its own target is exactly the
    share of its own pixels: cutmix's λ is corrected to the box.
    """
    beta_key, switch_key, place_key = jax.random.split(key, 3)
    _, height, width, _ = pixels.shape
    # where one of the two is off, its parameter is never used but must be valid
    alpha = jnp.array([mixup or 1.0, cutmix or 1.0])
    lambdas = jax.random.beta(beta_key, alpha, alpha)
    cutmix_share = switch if mixup and cutmix else float(bool(cutmix))
    use_cutmix = jax.random.bernoulli(switch_key, cutmix_share)

    side = jnp.sqrt(1 - lambdas[1])
    tall, wide = (height * side).astype(jnp.int32), (width * side).astype(jnp.int32)
    centre_y, centre_x = _place(place_key, jnp.array([height - 1]), jnp.array([width - 1]))
    top, bottom = (jnp.clip(centre_y + by, 0, height) for by in (-(tall // 2), (tall + 1) // 2))
    left, right = (jnp.clip(centre_x + by, 0, width) for by in (-(wide // 2), (wide + 1) // 2))
    box = _inside(height, width, top, left, bottom - top, right - left)[..., None]
    area = (bottom - top) * (right - left) / (height * width)

    own = jnp.where(use_cutmix, 1 - box.astype(jnp.float32), lambdas[0])
    share = jnp.where(use_cutmix, 1 - area, lambdas[0])
    return own * pixels + (1 - own) * pixels[::-1], share * targets + (1 - share) * targets[::-1]
