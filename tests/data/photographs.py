"""Photographs, and what Pillow makes of them, for the tests of the augmentation."""

import jax
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_images

from s4jax.data import randaugment
from s4jax.data.operations import INDEX, OPERATIONS

SIZE = 56
FILL = (124, 116, 104)
MAGNITUDES = (9.0, 8.37, 5.2, 0.3)
BICUBIC = Image.Resampling.BICUBIC
# half the time to compile, where speed does not matter
QUICKLY = {'xla_backend_optimization_level': 1}


def photographs(size):
    """uint8 (4, size, size, 3): scikit-learn's two photographs, reduced, and a part of each."""
    whole = [Image.fromarray(image) for image in load_sample_images().images]
    detail = [image.crop((100, 100, 100 + size, 100 + size)) for image in whole]
    return np.stack([np.asarray(image.resize((size, size))) for image in whole + detail])


def planes(images):
    return np.moveaxis(images, -1, 1)


def resized(image, width, height):
    """Pillow's resize, along x first as in all versions up to 12; 13 begins with y at times."""
    return np.asarray(
        image.resize((width, image.height), BICUBIC).resize((width, height), BICUBIC), int
    )


def pillow(name, image, magnitude, negate):
    """timm's operation of that name, by Pillow."""
    grey = image.mode == 'L'
    magnitude, sign, fill = float(magnitude), -1 if negate else 1, FILL[0] if grey else FILL
    width, height = image.size
    factor = 1 + sign * 0.09 * magnitude
    added = [min(255, i + int(magnitude / 10 * 110)) if i < 128 else i for i in range(256)]
    warp = dict(resample=BICUBIC, fillcolor=fill)
    affine = lambda *six: image.transform(image.size, Image.Transform.AFFINE, six, **warp)
    return {
        'autocontrast': lambda: ImageOps.autocontrast(image),
        'equalize': lambda: ImageOps.equalize(image),
        'invert': lambda: ImageOps.invert(image),
        'rotate': lambda: image.rotate(sign * 3 * magnitude, **warp),
        'posterize': lambda: ImageOps.posterize(image, 4 - int(magnitude / 10 * 4)),
        'solarize': lambda: ImageOps.solarize(image, 256 - min(256, int(magnitude / 10 * 256))),
        'solarize_add': lambda: image.point(added * (1 if grey else 3)),
        'colour': lambda: ImageEnhance.Color(image).enhance(factor),
        'contrast': lambda: ImageEnhance.Contrast(image).enhance(factor),
        'brightness': lambda: ImageEnhance.Brightness(image).enhance(factor),
        'sharpness': lambda: ImageEnhance.Sharpness(image).enhance(factor),
        'shear_x': lambda: affine(1, sign * 0.03 * magnitude, 0, 0, 1, 0),
        'shear_y': lambda: affine(1, 0, 0, sign * 0.03 * magnitude, 1, 0),
        'translate_x': lambda: affine(1, 0, sign * 0.045 * magnitude * width, 0, 1, 0),
        'translate_y': lambda: affine(1, 0, 0, 0, 1, sign * 0.045 * magnitude * height),
    }[name]()


def drawn_operations():
    """Every operation at every magnitude, in both directions, once for each of four photographs."""
    cases = [
        (INDEX[name], magnitude, negate, photo)
        for name in OPERATIONS
        for magnitude in MAGNITUDES
        for negate in (False, True)
        for photo in range(4)
    ]
    op, magnitude, negate, photo = (np.array(column) for column in zip(*cases))
    order = np.random.default_rng(0).permutation(len(cases))  # the operations mixed, as in training
    drawn = randaugment.Drawn(op[order], magnitude[order].astype(np.float32), negate[order])
    return drawn, photo[order]


LAYERS = jax.jit(randaugment.apply_operations, static_argnames=('fill', 'shards'))


def once(images, drawn, fill=FILL, shards=1):
    """The operations, then a layer of none, so that all tests share a program of two layers."""
    op, magnitude, negate = drawn
    layers = randaugment.Drawn(
        np.stack([op, np.full_like(op, -1)]), np.stack([magnitude] * 2), np.stack([negate] * 2)
    )
    return LAYERS(images, layers, fill=fill, shards=shards)
