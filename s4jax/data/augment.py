"""Augmentation of whole batches on the device: crop, flip, RandAugment, erasing, mixing.

The recipe and its order are timm's, which AutoFormer trains with; images are resized as Pillow
does. Randomness is drawn for the global batch from the key, so the number of devices that share
the batch does not matter.
"""

import typing
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from jax.typing import ArrayLike

from s4jax.data import boxes, randaugment
from s4jax.data.resize import resample, resize_weights, shifted
from s4jax.errors import UsageError
from s4jax.settings import Bool, Float, Floats, Int, Section

SPLIT_TEXT = typing.get_args(Floats)[1]  # text such as 0.3,0.4 as its items
Mean = Annotated[Float, pydantic.Field(ge=0, le=1)]
Deviation = Annotated[Float, pydantic.Field(ge=0.001, le=10)]
Area = Annotated[Float, pydantic.Field(ge=0.001, le=1)]
Aspect = Annotated[Float, pydantic.Field(ge=0.01, le=100)]


class PreprocessSettings(Section):
    """How images become a model's input, in training and outside of it."""

    mean: Annotated[tuple[Mean, ...], SPLIT_TEXT] = pydantic.Field(
        description='mean of each channel, for values from 0 (black) to 1 (white)',
        examples=[(0.485, 0.456, 0.406)],
    )
    std: Annotated[tuple[Deviation, ...], SPLIT_TEXT] = pydantic.Field(
        description='standard deviation of each channel, for values from 0 to 1',
        examples=[(0.229, 0.224, 0.225)],
    )
    crop_fraction: Float = pydantic.Field(
        1.0,
        ge=0.05,
        le=1,
        description='share of the short side that the centre crop keeps outside training',
        examples=[0.875],
    )

    @pydantic.model_validator(mode='after')
    def _one_of_each_for_a_channel(self) -> typing.Self:
        if not self.mean:
            raise UsageError('mean=() is empty; write one number per channel')
        if len(self.mean) != len(self.std):
            raise UsageError(
                f'mean={self.mean} has {len(self.mean)} numbers and std={self.std} has '
                f'{len(self.std)}; write one per channel in both'
            )
        return self


class AugmentSettings(Section):
    """How training images are augmented; the defaults are those of AutoFormer."""

    crop: Literal['resized', 'pad', 'none'] = pydantic.Field(
        'resized',
        description='resized: a random box; pad: resized, bordered with black, cropped back; '
        'none: resized',
    )
    scale: Annotated[tuple[Area, ...], SPLIT_TEXT] = pydantic.Field(
        (0.08, 1.0),
        description="smallest and largest area of the box of crop='resized', in images",
    )
    ratio: Annotated[tuple[Aspect, ...], SPLIT_TEXT] = pydantic.Field(
        (3 / 4, 4 / 3),
        description="smallest and largest width to height of the box of crop='resized'",
        examples=[(0.75, 1.333)],
    )
    padding: Int = pydantic.Field(
        0, ge=0, le=512, description="width in pixels of the border of crop='pad'", examples=[4]
    )
    flip: Bool = pydantic.Field(True, description='mirror every second image, at random')
    rand_augment: str = pydantic.Field(
        'm9-mstd0.5-inc1',
        description="RandAugment's policy as timm writes it, or '' for none",
        examples=['m9-mstd0.5-inc1'],
    )
    erasing: Float = pydantic.Field(
        0.25, ge=0, le=1, description='probability that a box of an image is erased'
    )
    mixup: Float = pydantic.Field(
        0.8, ge=0, le=100, description="mixup's Beta parameter, 0 for no mixup"
    )
    cutmix: Float = pydantic.Field(
        1.0, ge=0, le=100, description="cutmix's Beta parameter, 0 for no cutmix"
    )
    switch: Float = pydantic.Field(
        0.5, ge=0, le=1, description='probability of cutmix where both it and mixup are on'
    )
    smoothing: Float = pydantic.Field(
        0.1, ge=0, lt=1, description="share of a label's weight that is spread over all classes"
    )

    @pydantic.field_validator('scale', 'ratio')
    @classmethod
    def _lowest_and_highest(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) != 2 or value[0] > value[1]:
            raise UsageError('write two numbers, the smaller one first')
        return value

    @pydantic.field_validator('rand_augment')
    @classmethod
    def _known_policy(cls, value: str) -> str:
        if value:
            randaugment.parse_policy(value)
        return value

    @pydantic.model_validator(mode='after')
    def _crop_uses_what_is_given(self) -> typing.Self:
        fields = type(self).model_fields
        if self.crop == 'pad' and not self.padding:
            raise UsageError("padding=0 adds no border for crop='pad'; write for example padding=4")
        if self.crop != 'pad' and self.padding:
            raise UsageError(
                f"padding={self.padding} is used with crop='pad' only, not with "
                f"crop='{self.crop}'; write padding=0 or crop='pad'"
            )
        for name in ('scale', 'ratio'):
            value, default = getattr(self, name), fields[name].default
            if self.crop != 'resized' and value != default:
                raise UsageError(
                    f"{name}={value} is used with crop='resized' only, not with "
                    f"crop='{self.crop}'; leave it out or write crop='resized'"
                )
        return self


def train_batch(
    key: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    classes: int,
    image_size: int,
    settings: AugmentSettings,
    preprocess: PreprocessSettings,
    shards: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """A batch's pixels float32 (B, S, S, C) and soft targets (B, classes), S = image_size.

    images uint8 (B, H, W, C), labels int (B,). shards: on how many devices the batch lies, which
    changes where work is done but no result.
    """
    crop_key, flip_key, policy_key, erase_key, mix_key = jax.random.split(key, 5)
    batch = len(images)

    rows, columns = _crop_weights(crop_key, images.shape, image_size, settings)
    if settings.flip:
        flipped = jax.random.bernoulli(flip_key, 0.5, (batch, 1, 1))
        columns = jnp.where(flipped, columns[:, ::-1], columns)
    planes = resample(images, rows, columns)

    if settings.rand_augment:
        policy = randaugment.parse_policy(settings.rand_augment)
        fill = np.minimum(255, np.round(255 * np.asarray(preprocess.mean)))  # the mean colour
        planes = randaugment.rand_augment(policy_key, planes, policy, fill, shards)
    pixels = normalise(jnp.moveaxis(planes, 1, -1), preprocess)
    if settings.erasing:
        pixels = boxes.erase(erase_key, pixels, settings.erasing, shards)
    smoothing, mixup, cutmix = settings.smoothing, settings.mixup, settings.cutmix
    targets = jax.nn.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    if mixup or cutmix:
        pixels, targets = boxes.mix(mix_key, pixels, targets, mixup, cutmix, settings.switch)
    return pixels, targets


def _crop_weights(
    key: jax.Array, shape: tuple[int, ...], image_size: int, settings: AugmentSettings
) -> tuple[jax.Array, jax.Array]:
    """Weights of the rows (B, S, H) and of the columns (B, S, W) that crop and resize a batch."""
    batch, height, width, _ = shape
    if settings.crop == 'resized':
        scale, ratio = settings.scale, settings.ratio
        top, left, tall, wide = boxes.random_box(key, batch, height, width, scale, ratio)
        rows = resize_weights(height, image_size, top, tall)
        return rows, resize_weights(width, image_size, left, wide)
    border = settings.padding
    moves = jax.random.randint(key, (2, batch), -border, border + 1)
    rows = shifted(resize_weights(height, image_size, 0, height), moves[0])
    return rows, shifted(resize_weights(width, image_size, 0, width), moves[1])


def eval_batch(images: jax.Array, image_size: int, preprocess: PreprocessSettings) -> jax.Array:
    """uint8 images (B, H, W, C) -> float32 (B, S, S, C), S = image_size, without randomness.

    The short side is resized to image_size / crop_fraction, the centre cropped and normalised. An
    image that has this size already is only normalised.
    """
    height, width = images.shape[1:3]
    return resized(images, eval_weights(height, width, image_size, preprocess), preprocess)


def eval_weights(
    height: int, width: int, image_size: int, preprocess: PreprocessSettings
) -> tuple[ArrayLike, ArrayLike] | None:
    """Weights of the rows (S, H) and of the columns (S, W) of `eval_batch`; None: nothing to do."""
    short = int(image_size / preprocess.crop_fraction)
    if (height, width) == (image_size, image_size) and short == image_size:
        return None

    def weights(size: int) -> jax.Array:
        whole = int(short * size / min(height, width))
        first = round((whole - image_size) / 2)
        return resize_weights(size, whole, 0, size)[first : first + image_size]

    return weights(height), weights(width)


def resized(
    images: jax.Array,
    weights: tuple[ArrayLike, ArrayLike] | None,
    preprocess: PreprocessSettings,
) -> jax.Array:
    """uint8 images (B, H, W, C) -> float32 (B, S, S, C) by `eval_weights`, normalised."""
    if weights is not None:
        rows, columns = (jnp.broadcast_to(w, (images.shape[0], *np.shape(w))) for w in weights)
        images = jnp.moveaxis(resample(images, rows, columns), 1, -1)
    return normalise(images, preprocess)


def normalise(images: jax.Array, preprocess: PreprocessSettings) -> jax.Array:
    """Grey levels 0 … 255 (…, C) to (value / 255 - mean) / std, float32."""
    mean, std = (np.asarray(a, np.float32) for a in (preprocess.mean, preprocess.std))
    return images.astype(jnp.float32) * (1 / (255 * std)) - mean / std
