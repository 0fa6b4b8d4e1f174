"""Augmentation on the device, of whole batches, without branches: crop, flip, RandAugment, erasing, mixing.

The recipe and its order are timm's, which AutoFormer trains with; images are resized as Pillow does.
Randomness is drawn for the global batch from the key passed, so it does not matter how many devices share it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.data import randaugment
from s4jax.errors import UsageError

TRIES = 10  # for a box that fits, in cropping and erasing, as in timm
ERASED_AREA = (0.02, 1 / 3)  # of the image
ERASED_RATIO = (0.3, 1 / 0.3)  # height to width
SPARE_NOISE = 2**16  # normal numbers drawn for a batch beyond those that erase one whole image


def train_batch(
    key,
    images,
    labels,
    *,
    classes,
    image_size,
    mean,
    std,
    crop='resized',
    scale=(0.08, 1.0),
    ratio=(3 / 4, 4 / 3),
    padding=0,
    flip=True,
    rand_augment='m9-mstd0.5-inc1',
    erasing=0.25,
    mixup=0.8,
    cutmix=1.0,
    switch=0.5,
    smoothing=0.1,
    shards=1,
):
    """uint8 images (B, H, W, C), int labels (B,) -> float32 images (B, S, S, C), soft targets (B, classes).

    crop: 'resized' (a box of `scale` of the area and of aspect `ratio`, resized), 'pad' (resized, bordered by
    `padding` black pixels, cropped back) or 'none' (resized). mean, std: one per channel, for values 0 to 1.
    rand_augment: '' for none, or as `randaugment.parse_policy`. erasing: its probability. mixup, cutmix:
    their Beta parameters, 0 for never; switch: the probability of cutmix where both are on. shards: on how
    many devices the batch lies, which changes where work is done but no result.
    """
    policy = randaugment.parse_policy(rand_augment) if rand_augment else None
    crop_key, flip_key, policy_key, erase_key, mix_key = jax.random.split(key, 5)
    batch, height, width, _ = images.shape

    if crop == 'resized':
        top, left, box_height, box_width = random_box(crop_key, batch, height, width, scale, ratio)
        rows = resize_weights(height, image_size, top, box_height)
        columns = resize_weights(width, image_size, left, box_width)
    elif crop in ('pad', 'none'):
        border = padding if crop == 'pad' else 0
        moves = jax.random.randint(crop_key, (2, batch), -border, border + 1)
        rows, columns = (
            _moved(resize_weights(size, image_size, 0, size), by)
            for size, by in ((height, moves[0]), (width, moves[1]))
        )
    else:
        raise UsageError(f"crop='{crop}' is not known: write 'resized', 'pad' or 'none'")
    if flip:
        flipped = jax.random.bernoulli(flip_key, 0.5, (batch, 1, 1))
        columns = jnp.where(flipped, columns[:, ::-1], columns)
    planes = resample(images, rows, columns)

    if policy:
        fill = np.minimum(255, np.round(255 * np.asarray(mean)))  # what a warp uncovers
        planes = randaugment.rand_augment(policy_key, planes, policy, fill, shards)
    pixels = normalise(jnp.moveaxis(planes, 1, -1), mean, std)
    if erasing:
        pixels = erase(erase_key, pixels, erasing, shards)
    targets = jax.nn.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    if mixup or cutmix:
        pixels, targets = mix(mix_key, pixels, targets, mixup, cutmix, switch)
    return pixels, targets


def eval_batch(images, *, image_size, mean, std, crop_fraction=1.0):
    """uint8 images (B, H, W, C) -> float32 (B, S, S, C).

    The short side resized to image_size / crop_fraction, the centre cropped, normalised; an image that has
    this size already is only normalised.
    """
    if not 0 < crop_fraction <= 1:
        raise UsageError(f'crop_fraction={crop_fraction} is not above 0 and at most 1')
    batch, height, width, _ = images.shape
    short = int(image_size / crop_fraction)

    def weights(size):
        resized = int(short * size / min(height, width))
        first = round((resized - image_size) / 2)
        return resize_weights(size, resized, 0, size)[first : first + image_size]

    if (height, width) != (image_size, image_size) or short != image_size:
        each = lambda weights: jnp.broadcast_to(weights, (batch, *weights.shape))
        images = jnp.moveaxis(resample(images, each(weights(height)), each(weights(width))), 1, -1)
    return normalise(images, mean, std)


def normalise(images, mean, std):
    """Grey levels 0 … 255 (…, C) to (value / 255 - mean) / std."""
    mean, std = (np.asarray(a, np.float32) for a in (mean, std))
    return images.astype(jnp.float32) * (1 / (255 * std)) - mean / std


def random_box(key, batch, height, width, scale, ratio):
    """top, left, height, width (B,) int32, as torchvision's RandomResizedCrop: the first of 10 that fits."""
    shape_key, place_key = jax.random.split(key)
    tall, wide = _random_sizes(
        shape_key, batch, height * width, scale, ratio
    )  # ratio: width to height
    fits, wide, tall = _first(
        (wide <= width) & (tall <= height) & (wide > 0) & (tall > 0), wide, tall
    )
    # where none of them does: the centre, as much of it as the ratio allows
    most_wide = round(height * ratio[1]) if width / height > ratio[1] else width
    most_tall = round(width / ratio[0]) if width / height < ratio[0] else height
    wide, tall = jnp.where(fits, wide, most_wide), jnp.where(fits, tall, most_tall)
    top, left = _place(place_key, height - tall, width - wide)
    return (
        jnp.where(fits, top, (height - most_tall) // 2),
        jnp.where(fits, left, (width - most_wide) // 2),
        tall,
        wide,
    )


def _random_sizes(key, batch, area, scale, ratio):
    """Whole sides (TRIES, B): their product in `scale` of the area, the second over the first in `ratio`."""
    area_key, ratio_key = jax.random.split(key)
    area = area * jax.random.uniform(area_key, (TRIES, batch), minval=scale[0], maxval=scale[1])
    low, high = np.log(ratio)
    ratio = jnp.exp(jax.random.uniform(ratio_key, (TRIES, batch), minval=low, maxval=high))
    return jnp.round(jnp.sqrt(area / ratio)), jnp.round(jnp.sqrt(area * ratio))


def _first(valid, *candidates):
    """Whether any of the candidates (TRIES, B) is valid (B,), then the first that is, as int32."""
    first = jnp.argmax(valid, axis=0)[None]
    taken = (jnp.take_along_axis(a, first, axis=0)[0].astype(jnp.int32) for a in candidates)
    return jnp.any(valid, axis=0), *taken


def _place(key, *room):
    """For each room (B,), a uniform integer from 0 to it."""
    share = jax.random.uniform(key, (len(room), *room[0].shape))
    return [jnp.minimum(jnp.floor(u * (r + 1)).astype(jnp.int32), r) for u, r in zip(share, room)]


def resize_weights(size_in, size_out, start, length):
    """(…, size_out, size_in) weights that resize the pixels [start, start + length) of an axis to size_out.

    start, length: integers or int32 (B,). Pillow's BICUBIC (a = -0.5), widened when it shrinks. Nothing
    outside the box counts, as if it had been cropped before.
    """
    start, length = (jnp.asarray(a, jnp.int32)[..., None, None] for a in (start, length))
    # output pixel i has its centre at (2i + 1)·length / (2·size_out): whole part and rest, exact in integers
    twice = (2 * jnp.arange(size_out, dtype=jnp.int32)[:, None] + 1) * length
    whole, rest = twice // (2 * size_out), twice % (2 * size_out)
    pixel = jnp.arange(size_in, dtype=jnp.int32) - start
    distance = (pixel - whole).astype(jnp.float32) + 0.5 - rest / (2 * size_out)
    weights = randaugment.cubic(distance / jnp.maximum(1, length / size_out), -0.5)
    weights = jnp.where((pixel >= 0) & (pixel < length), weights, 0)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def _moved(weights, by):
    """Weights (S, size) as (B, S, size): output pixel i is the old i + by (B,), or black if there is none."""
    size = len(weights)
    source = jnp.arange(size) + by[:, None]
    return jnp.where(
        ((source >= 0) & (source < size))[..., None], weights[jnp.clip(source, 0, size - 1)], 0
    )


def resample(images, rows, columns):
    """uint8 (B, H, W, C) to uint8 planes (B, C, S, T) by weights (B, S, H) and (B, T, W).

    Columns first, and rounded to grey levels after each pass, as in Pillow. Precision 'highest', or
    accelerators would round the weights to 8 or 10 bits.
    """
    product = lambda a, b: jnp.clip(jnp.floor(jnp.matmul(a, b, precision='highest') + 0.5), 0, 255)
    batch, height, width, channels = images.shape
    lines = jnp.moveaxis(images, -1, 1).reshape(batch, channels * height, width).astype(jnp.float32)
    planes = product(lines, jnp.swapaxes(columns, 1, 2)).reshape(batch, channels, height, -1)
    # a product per channel: one for all would give lines of all channels, and sorting them costs as much
    return jnp.stack(
        [product(rows, planes[:, c]).astype(jnp.uint8) for c in range(channels)], axis=1
    )


def erase(key, pixels, probability, shards=1):
    """With `probability`, a box of an image (B, S, S, C) becomes normal noise: timm's 'pixel' mode."""
    batch, height, width, channels = pixels.shape
    erase_key, shape_key, place_key, noise_key = jax.random.split(key, 4)
    wide, tall = _random_sizes(shape_key, batch, height * width, ERASED_AREA, ERASED_RATIO)
    fits, wide, tall = _first((wide < width) & (tall < height), wide, tall)
    top, left = _place(place_key, height - tall, width - wide)
    erased = fits & jax.random.bernoulli(erase_key, probability, (batch,))

    # normal numbers cost more than all the rest: a large batch reads them from one field, each image its part
    one = height * width * channels
    drawn = min(batch * one, one + SPARE_NOISE)
    field = jax.random.normal(noise_key, (drawn,))
    starts = jnp.asarray(np.linspace(0, drawn - one, batch).astype(np.int32))

    def primitive(pixels, start, *box):
        noise = jax.vmap(lambda start: lax.dynamic_slice(field, (start,), (one,)))(start)
        return jnp.where(_box(height, width, *box)[..., None], noise.reshape(pixels.shape), pixels)

    arguments = starts, top, left, tall, wide
    return randaugment.where_needed(erased, probability, primitive, pixels, arguments, shards)


def _box(height, width, top, left, tall, wide):
    """(B, height, width) bool: inside the boxes, each argument (B,)."""
    within = lambda size, first, length: (
        (jnp.arange(size) >= first) & (jnp.arange(size) < first + length)
    )
    rows, columns = (
        within(height, top[:, None], tall[:, None]),
        within(width, left[:, None], wide[:, None]),
    )
    return rows[:, :, None] & columns[:, None, :]


def mix(key, pixels, targets, mixup, cutmix, switch):
    """Mixup or cutmix of the batch with itself reversed, one λ and one box for all, as timm's mode 'batch'.

    The share of its own target is exactly the share of its own pixels: λ of cutmix is corrected to the box.
    """
    beta_key, switch_key, place_key = jax.random.split(key, 3)
    _, height, width, _ = pixels.shape
    # where one of them is off its parameter is never used, but must be legal
    alpha = jnp.array([mixup or 1.0, cutmix or 1.0])
    lambdas = jax.random.beta(beta_key, alpha, alpha)
    use_cutmix = jax.random.bernoulli(
        switch_key, switch if mixup and cutmix else float(bool(cutmix))
    )

    side = jnp.sqrt(1 - lambdas[1])
    tall, wide = (height * side).astype(jnp.int32), (width * side).astype(jnp.int32)
    centre_y, centre_x = _place(place_key, jnp.array([height - 1]), jnp.array([width - 1]))
    top, bottom = (jnp.clip(centre_y + by, 0, height) for by in (-(tall // 2), (tall + 1) // 2))
    left, right = (jnp.clip(centre_x + by, 0, width) for by in (-(wide // 2), (wide + 1) // 2))
    box = _box(height, width, top, left, bottom - top, right - left)[..., None]
    area = (bottom - top) * (right - left) / (height * width)

    own = jnp.where(use_cutmix, 1 - box.astype(jnp.float32), lambdas[0])
    share = jnp.where(use_cutmix, 1 - area, lambdas[0])
    return own * pixels + (1 - own) * pixels[::-1], share * targets + (1 - share) * targets[::-1]
