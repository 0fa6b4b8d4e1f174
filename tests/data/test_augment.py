"""The whole recipe, its settings, and what a model sees outside training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from photographs import QUICKLY, SIZE, photographs, resized
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from s4jax.data import augment
from s4jax.data.augment import AugmentSettings, PreprocessSettings
from s4jax.errors import UsageError
from s4jax.settings import read


def test_padded_crop_is_a_shift_and_a_flip():
    digits = (load_digits().images[:16] * 15).astype(np.uint8)[..., None]
    images = np.repeat(digits, 16, axis=0)
    crop = jax.jit(
        functools.partial(
            augment.train_batch,
            classes=10,
            image_size=8,
            settings=AugmentSettings(
                crop='pad', padding=1, rand_augment='', erasing=0, mixup=0, cutmix=0
            ),
            preprocess=PreprocessSettings(mean=(0.0,), std=(1 / 255,)),
        )
    )
    results, _ = crop(jax.random.key(0), images, np.zeros(len(images), int))
    seen = set()
    for image, result in zip(images[..., 0], np.asarray(results)[..., 0]):
        padded = np.pad(image, 1)
        crops = {
            (y, x, step): padded[y : y + 8, x : x + 8][:, ::step]
            for y in range(3)
            for x in range(3)
            for step in (1, -1)
        }
        which = [place for place, crop in crops.items() if np.abs(crop - result).max() < 1e-3]
        assert which
        seen.update(which if len(which) == 1 else [])
    assert len(seen) == 18


def test_eval_batch_is_pillows_resize_and_centre_crop():
    mean, std = (0.48, 0.45, 0.4), (0.2, 0.25, 0.3)
    photo = Image.fromarray(load_sample_images().images[0]).resize((151, 100))

    @functools.partial(jax.jit, static_argnames='crop_fraction')
    def evaluated(images, crop_fraction=1.0):
        settings = PreprocessSettings(mean=mean, std=std, crop_fraction=crop_fraction)
        return augment.eval_batch(images, 64, settings)

    grey_levels = lambda pixels: (np.asarray(pixels[0], np.float64) * std + np.array(mean)) * 255
    result = grey_levels(evaluated(np.asarray(photo)[None], crop_fraction=0.875))
    top, left = round((73 - 64) / 2), round((110 - 64) / 2)  # 64 / 0.875 = 73, 73 x 151 / 100 = 110
    expected = resized(photo, 110, 73)[top : top + 64, left : left + 64]
    off = np.abs(result - expected)
    assert off.max() < 1.01 and np.mean(off > 0.01) < 1e-3
    square = np.asarray(photo.resize((64, 64)))[None]
    assert np.abs(grey_levels(evaluated(square)) - square[0]).max() < 1e-3


@pytest.fixture(scope='module')
def recipe():
    """The whole published recipe at a small size, compiled once."""
    return jax.jit(
        functools.partial(
            augment.train_batch,
            classes=5,
            image_size=SIZE,
            settings=AugmentSettings(),
            preprocess=PreprocessSettings(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ),
        compiler_options=QUICKLY,
    )


def test_the_recipe_depends_on_the_key_alone(recipe):
    images, labels = photographs(32)[[0, 1, 2, 3, 0, 1]], np.array([0, 1, 2, 3, 4, 0])
    first, again, other = (recipe(jax.random.key(seed), images, labels) for seed in (7, 7, 8))
    pixels, targets = first
    assert pixels.shape == (6, SIZE, SIZE, 3) and pixels.dtype == jnp.float32
    assert np.all(np.isfinite(pixels))
    assert targets.shape == (6, 5) and np.allclose(targets.sum(1), 1, atol=1e-6)
    for one, same, different in zip(first, again, other):
        assert np.array_equal(one, same) and not np.array_equal(one, different)
    # no two copies of a photograph look alike; all values are those of an image or of noise
    assert not np.array_equal(pixels[0], pixels[4]) and float(jnp.abs(pixels).max()) < 6


def test_without_mixing_labels_are_only_smoothed():
    images, labels = photographs(8), np.array([2, 0, 1, 2])
    plain = jax.jit(
        functools.partial(
            augment.train_batch,
            classes=4,
            image_size=8,
            settings=AugmentSettings(
                crop='none', flip=False, rand_augment='', erasing=0, mixup=0, cutmix=0
            ),
            preprocess=PreprocessSettings(mean=(0.5,) * 3, std=(0.25,) * 3),
        )
    )
    pixels, targets = plain(jax.random.key(0), images, labels)
    assert np.allclose(pixels, (images / 255 - 0.5) / 0.25, atol=1e-5)
    assert np.allclose(targets, np.eye(4)[labels] * 0.9 + 0.025, atol=1e-6)


CONSISTENT = [
    {},
    dict(crop='pad', padding='4', scale=(0.08, 1), ratio='0.75, 1.3333333333333333'),
    dict(crop='none', rand_augment='', erasing=0, mixup=0, cutmix=0, smoothing=0.0),
    dict(scale='(0.5,1)', ratio=[1, 1], switch=1, mixup=100, flip='false'),
]


@pytest.mark.parametrize('values', CONSISTENT)
def test_settings_that_make_sense(values):
    settings = read(AugmentSettings, values, 'config.augment')
    assert len(settings.scale) == len(settings.ratio) == 2
    assert settings.flip == ('flip' not in values)


@pytest.mark.parametrize(
    'values, words',
    [
        (dict(crop='centre'), "crop='centre' must be one of 'resized', 'pad', 'none'"),
        (dict(crop=None), 'crop=None must be one of'),
        (dict(scale=(0.5,)), 'scale=(0.5,): write two numbers, the smaller one first'),
        (dict(scale=(0.9, 0.1)), 'scale=(0.9, 0.1): write two numbers'),
        (dict(scale=(0, 1)), 'scale=0 must be a list, each a number from 0.001 to 1'),
        (dict(scale=(0.5, 2)), 'scale=2 must be'),
        (dict(scale=0.5), 'scale=0.5 must be a list'),
        (dict(scale='a,b'), "scale='a' must be a list"),
        (dict(ratio=()), 'ratio=(): write two numbers'),
        (dict(ratio=(-1, 1)), 'ratio=-1 must be'),
        (dict(ratio=(1, float('inf'))), 'ratio=inf must be'),
        (dict(padding=-1), 'padding=-1 must be a whole number from 0 to 512'),
        (dict(padding=513, crop='pad'), 'padding=513 must be'),
        (dict(padding=1.5, crop='pad'), 'padding=1.5 must be'),
        (dict(padding=4), "padding=4 is used with crop='pad' only"),
        (dict(crop='pad'), "padding=0 adds no border for crop='pad'"),
        (dict(crop='none', scale=(0.5, 1)), "scale=(0.5, 1.0) is used with crop='resized' only"),
        (dict(crop='pad', padding=4, ratio=(1, 1)), "ratio=(1.0, 1.0) is used with crop='res"),
        (dict(flip=2), 'flip=2 must be True or False'),
        (dict(flip='perhaps'), "flip='perhaps' must be True or False"),
        (dict(rand_augment='v0'), "rand_augment='v0': not a known policy; write '' for none"),
        (dict(rand_augment=9), 'rand_augment=9 must be text'),
        (dict(rand_augment='m9-n99-inc1'), 'the number of operations (1 to 15, else 2)'),
        (dict(erasing=2), 'erasing=2 must be a number from 0 to 1'),
        (dict(erasing=True), 'erasing=True must be a number'),
        (dict(mixup=-1), 'mixup=-1 must be a number from 0 to 100'),
        (dict(cutmix=1e9), 'cutmix=1000000000.0 must be'),
        (dict(switch='x'), "switch='x' must be a number"),
        (dict(smoothing=1), 'smoothing=1 must be a number at least 0 and below 1'),
        (dict(smoothing=float('nan')), 'smoothing=nan must be'),
        (dict(mxup=1), 'mxup is unknown; did you mean mixup?'),
    ],
)
def test_settings_that_are_refused(values, words):
    with pytest.raises(UsageError) as error:
        read(AugmentSettings, values, 'config.augment')
    assert words in str(error.value) and '\n' not in str(error.value)
    assert str(error.value).startswith('config.augment')


@pytest.mark.parametrize(
    'values, words',
    [
        (dict(), 'mean is missing'),
        (dict(std=None), 'std=None must be a list'),
        (dict(mean=(1e30,)), 'mean=1e+30 must be a list, each a number from 0 to 1'),
        (dict(mean=(-0.1,)), 'mean=-0.1 must be'),
        (dict(mean=()), 'mean=() is empty; write one number per channel'),
        (dict(std=(0,)), 'std=0 must be a list, each a number from 0.001 to 10'),
        (dict(std=(-1,)), 'std=-1 must be'),
        (dict(std=(float('nan'),)), 'std=nan must be'),
        (dict(std=(0.2,) * 3), 'mean=(0.5,) has 1 numbers and std=(0.2, 0.2, 0.2) has 3'),
        (dict(crop_fraction=2), 'crop_fraction=2 must be a number from 0.05 to 1'),
        (dict(crop_fraction=0), 'crop_fraction=0 must be'),
    ],
)
def test_preprocessing_that_is_refused(values, words):
    with pytest.raises(UsageError) as error:
        read(
            PreprocessSettings, dict(mean=(0.5,), std=(0.2,)) | values if values else {}, 'config.p'
        )
    assert words in str(error.value) and '\n' not in str(error.value)


def test_preprocessing_may_be_written_as_text():
    settings = read(PreprocessSettings, dict(mean='0.3,0.4', std='(0.1, 0.2)'), 'config.preprocess')
    assert settings.mean == (0.3, 0.4) and settings.std == (0.1, 0.2)
    assert settings.crop_fraction == 1.0


def test_a_batch_that_does_not_divide_over_the_devices():
    batch = jax.random.key(0), np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, int)
    pixels = PreprocessSettings(mean=(0.5,) * 3, std=(0.25,) * 3)
    refused = functools.partial(
        augment.train_batch,
        classes=2,
        image_size=8,
        settings=AugmentSettings(),
        preprocess=pixels,
        shards=3,
    )
    with pytest.raises(ValueError, match='4 images does not divide over 3'):
        jax.eval_shape(refused, *batch)
