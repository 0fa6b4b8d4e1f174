"""Augmentation against Pillow on photographs, against exact arithmetic, and against the odds it promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from s4jax.data import augment, randaugment
from s4jax.data.randaugment import INDEX, OPERATIONS

SIZE = 56
FILL = (124, 116, 104)
MAGNITUDES = (9.0, 8.37, 5.2, 0.3)
# The share of values that may be one grey level off. Autocontrast: Pillow rounds its scale twice. Blends: it
# cuts off the same float32, but without a fused multiply-add. Warps: it cuts off double precision.
DIFFERENT = {
    'autocontrast': 1e-3,
    'contrast': 5e-3,
    'brightness': 5e-3,
    'colour': 5e-3,
    'sharpness': 5e-3,
    'rotate': 5e-3,
    'shear_x': 5e-3,
    'shear_y': 5e-3,
    'translate_x': 5e-3,
    'translate_y': 5e-3,
}
# A rotated place within 1e-5 of the image's edge may fall on the other side of it.
EDGE = {'rotate': 1e-3}


QUICKLY = {
    'xla_backend_optimization_level': 1
}  # half the time to compile, where speed does not matter
BICUBIC = Image.Resampling.BICUBIC


def photographs(size):
    """uint8 (4, size, size, 3): scikit-learn's two photographs, shrunk, and a detail of each."""
    whole = [Image.fromarray(image) for image in load_sample_images().images]
    detail = [image.crop((100, 100, 100 + size, 100 + size)) for image in whole]
    return np.stack([np.asarray(image.resize((size, size))) for image in whole + detail])


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


def planes(images):
    return np.moveaxis(images, -1, 1)


@pytest.fixture(scope='module')
def drawn():
    """Every operation at every magnitude, in both directions, once for each of the four photographs."""
    cases = [
        (INDEX[name], magnitude, negate, photo)
        for name in OPERATIONS
        for magnitude in MAGNITUDES
        for negate in (False, True)
        for photo in range(4)
    ]
    op, magnitude, negate, photo = (np.array(column) for column in zip(*cases))
    order = np.random.default_rng(0).permutation(len(cases))  # the operations mixed, as in training
    return op[order], magnitude[order].astype(np.float32), negate[order], photo[order]


LAYERS = jax.jit(randaugment.apply_operations, static_argnames=('fill', 'shards'))


def once(images, op, magnitude, negate, fill=FILL, shards=1):
    """The operations as the first of two layers, the second nothing, so that all tests share a program."""
    op = np.stack([op, np.full_like(op, -1)])
    return LAYERS(
        images, op, np.stack([magnitude] * 2), np.stack([negate] * 2), fill=fill, shards=shards
    )


@pytest.fixture(scope='module')
def applied(drawn):
    """Channels -> (images, the images after their operations), of one compiled call each."""
    op, magnitude, negate, photo = drawn
    colour = photographs(SIZE)
    grey = np.stack([np.asarray(Image.fromarray(image).convert('L')) for image in colour])[
        ..., None
    ]
    results = {}
    for images, shards in ((colour[photo], 1), (grey[photo], 4)):
        channels = images.shape[-1]
        after = once(planes(images), op, magnitude, negate, FILL[:channels], shards)
        results[channels] = images, np.moveaxis(np.asarray(after), 1, -1)
    return results


@pytest.mark.parametrize('channels', [3, 1])
@pytest.mark.parametrize('name', OPERATIONS)
def test_operation_is_pillows(applied, drawn, name, channels):
    images, results = applied[channels]
    op, magnitude, negate, _ = drawn
    rows = np.flatnonzero(op == INDEX[name])
    assert len(rows) == len(MAGNITUDES) * 2 * 4
    squeezed = images if channels == 3 else images[..., 0]
    expected = np.stack(
        [
            np.asarray(pillow(name, Image.fromarray(squeezed[row]), magnitude[row], negate[row]))
            for row in rows
        ]
    ).reshape(-1, *images.shape[1:])
    off = np.abs(results[rows].astype(int) - expected)
    assert np.mean(off > 0) <= DIFFERENT.get(name, 0)
    assert np.mean(off > 1) <= EDGE.get(name, 0)
    if (name, channels) != ('colour', 1):
        assert np.mean(expected != images[rows]) > 0.05  # or nothing would have been compared


def test_extremes(drawn):
    """Posterize keeps 0 bits at magnitude 10, which Pillow now refuses; a flat image cannot be stretched."""
    op, magnitude, negate = (a.copy() for a in drawn[:3])
    op[:3], magnitude[:3] = [INDEX[name] for name in ('posterize', 'equalize', 'autocontrast')], 10
    flat = np.full((len(op), 3, SIZE, SIZE), 77, np.uint8)
    results = np.asarray(once(flat, op, magnitude, negate))
    assert np.all(results[0] == 0) and np.all(results[1:3] == 77)


def test_layers_follow_one_another(drawn):
    images = planes(photographs(SIZE)[drawn[-1]])
    layers = randaugment.draw(jax.random.key(3), len(images), randaugment.Policy(9.0, 0.5))
    first, second = zip(*map(np.asarray, layers))
    expected = np.asarray(once(once(images, *first), *second))
    assert np.array_equal(LAYERS(images, *layers, fill=FILL, shards=1), expected)
    assert not np.array_equal(once(images, *first), expected)


def test_operations_are_drawn_uniformly_and_applied_half_the_time():
    batch, policy = 30_000, randaugment.Policy(9.0, 0.5)
    op, magnitude, negate = (
        np.asarray(a) for a in randaugment.draw(jax.random.key(0), batch, policy)
    )
    assert op.shape == magnitude.shape == negate.shape == (2, batch)
    for layer in range(2):
        counts = np.bincount(op[layer] + 1, minlength=16)
        assert abs(counts[0] - batch / 2) < 5 * np.sqrt(batch / 4)
        assert np.all(np.abs(counts[1:] - batch / 30) < 5 * np.sqrt(batch / 30))
    pairs = np.bincount((op[0] + 1) * 16 + op[1] + 1, minlength=256).reshape(16, 16)[1:, 1:]
    chi_square = np.sum((pairs - batch / 900) ** 2) / (batch / 900)
    assert abs(chi_square - 225) < 5 * np.sqrt(2 * 225)  # the two layers are independent
    assert abs(negate.mean() - 0.5) < 0.02
    assert magnitude.min() > 6 and magnitude.max() == 10 and abs(np.median(magnitude) - 9) < 0.01
    assert abs(np.mean(magnitude == 10) - 0.0228) < 0.005  # 2 standard deviations above the mean


@pytest.mark.parametrize(
    'text, policy',
    [
        ('m9-mstd0.5-inc1', (9, 0.5, 2)),
        ('rand-m9-n3-mstd0.5-inc1', (9, 0.5, 3)),
        ('inc1-m7.5', (7.5, 0, 2)),
    ],
)
def test_policy_is_read(text, policy):
    assert randaugment.parse_policy(text) == policy


@pytest.mark.parametrize(
    'text',
    [
        'm9',
        'm9-inc0',
        'm11-inc1',
        'm9-mstd0.5-inc1-',
        'm9--inc1',
        'm9-w0-inc1',
        'm9-m8-inc1',
        'v0-inc1',
        'm9-mstd101-inc1',
        'm9-n1.5-inc1',
        'M9-inc1',
    ],
)
def test_policy_that_is_not_known_is_refused(text):
    with pytest.raises(ValueError, match='m9-mstd0.5-inc1'):
        randaugment.parse_policy(text)


def reference_weights(size_in, size_out, start, length):
    """Bicubic weights with a = -0.5 in double precision, from the definition."""
    scale = length / size_out
    stretch = max(1.0, scale)
    weights = np.zeros((size_out, size_in))
    for i in range(size_out):
        for pixel in range(start, start + length):
            d = abs((pixel - start + 0.5 - (i + 0.5) * scale) / stretch)
            weights[i, pixel] = (
                1.5 * d**3 - 2.5 * d**2 + 1
                if d < 1
                else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
                if d < 2
                else 0
            )
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(
    'size_in, size_out, start, length',
    [(32, 224, 0, 32), (40, 40, 0, 40), (500, 224, 0, 500), (427, 96, 130, 251), (64, 50, 63, 1)],
)
def test_resize_weights_are_the_cubics(size_in, size_out, start, length):
    weights = jax.jit(augment.resize_weights, static_argnums=(0, 1))(
        size_in, size_out, start, length
    )
    expected = reference_weights(size_in, size_out, start, length)
    assert np.abs(weights - expected).max() < 1e-6
    columns = np.resize(load_sample_images().images[0][:, :8, 0], (size_in, 8)) / 255
    assert (
        np.abs(np.asarray(weights) @ columns.astype(np.float32) - expected @ columns).max() < 1e-5
    )


def resized(image, width, height):
    """Pillow's resize, along x first as every version did up to 12; 13 begins with y at some sizes."""
    return np.asarray(
        image.resize((width, image.height), BICUBIC).resize((width, height), BICUBIC), int
    )


def test_random_resized_crop_is_pillows_resize_of_the_same_box():
    batch, (height, width), size = 24, (90, 120), 64
    photo = Image.fromarray(load_sample_images().images[1]).resize((width, height))

    @jax.jit
    def crops(key, images):
        boxes = augment.random_box(key, batch, height, width, (0.08, 1.0), (3 / 4, 4 / 3))
        top, left, tall, wide = (a.at[0].set(b) for a, b in zip(boxes, (0, 0, height, width)))
        rows = augment.resize_weights(height, size, top, tall)
        columns = augment.resize_weights(width, size, left, wide)
        return (left, top, left + wide, top + tall), augment.resample(images, rows, columns)

    boxes, results = crops(
        jax.random.key(1), np.broadcast_to(np.asarray(photo), (batch, height, width, 3))
    )
    boxes, results = np.array(boxes).T, np.moveaxis(np.asarray(results), 1, -1)
    tall = boxes[:, 3] - boxes[:, 1]
    assert tall.min() < size < tall.max()  # both enlarged and shrunk
    for box, result in zip(boxes, results):
        off = np.abs(result - resized(photo.crop(box.tolist()), size, size))
        assert off.max() <= 1 and np.mean(off > 0) < 1e-3
    # Pillow's box argument looks beyond the box; over the whole image, the first here, there is nothing more
    expected = photo.resize((size, height), BICUBIC, box=(0, 0, width, height)).resize(
        (size, size), BICUBIC
    )
    assert np.abs(results[0] - np.asarray(expected, int)).max() <= 1


def test_random_boxes_keep_to_scale_and_ratio():
    height, width = 300, 400
    boxes = jax.jit(
        functools.partial(augment.random_box, ratio=(3 / 4, 4 / 3)), static_argnums=(1, 2, 3, 4)
    )
    top, left, tall, wide = np.array(boxes(jax.random.key(0), 4000, height, width, (0.08, 1.0)))
    area, ratio = tall * wide / (height * width), wide / tall
    assert np.all((top >= 0) & (left >= 0) & (top + tall <= height) & (left + wide <= width))
    assert 0.078 < area.min() < 0.1 and 0.9 < area.max() <= 1
    assert 0.74 < ratio.min() < 0.78 and 1.3 < ratio.max() < 1.35
    # a box that fits may lie anywhere: the free room above it is on average half of the free room
    assert abs(np.mean(top / np.maximum(1, height - tall)) - 0.5) < 0.03
    # where no box of this ratio can have this area: the centre, as wide as the ratio allows
    centre = boxes(jax.random.key(0), 3, 30, 200, (0.9, 1.0))
    assert np.array(centre).T.tolist() == [[0, 80, 30, 40]] * 3


def test_padded_crop_is_a_shift_and_a_flip():
    digits = (load_digits().images[:16] * 15).astype(np.uint8)[..., None]
    images = np.repeat(digits, 16, axis=0)
    crop = jax.jit(
        functools.partial(
            augment.train_batch,
            classes=10,
            image_size=8,
            mean=(0.0,),
            std=(1 / 255,),
            crop='pad',
            padding=1,
            rand_augment='',
            erasing=0,
            mixup=0,
            cutmix=0,
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
    mean, std = np.array([0.48, 0.45, 0.4]), np.array([0.2, 0.25, 0.3])
    photo = Image.fromarray(load_sample_images().images[0]).resize((151, 100))
    evaluated = jax.jit(
        functools.partial(augment.eval_batch, image_size=64, mean=mean, std=std),
        static_argnames='crop_fraction',
    )
    grey_levels = lambda pixels: (np.asarray(pixels[0], np.float64) * std + mean) * 255
    result = grey_levels(evaluated(np.asarray(photo)[None], crop_fraction=0.875))
    top, left = round((73 - 64) / 2), round((110 - 64) / 2)  # 64 / 0.875 = 73, 73 x 151 / 100 = 110
    expected = resized(photo, 110, 73)[top : top + 64, left : left + 64]
    assert (
        np.abs(result - expected).max() < 1.01 and np.mean(np.abs(result - expected) > 0.01) < 1e-3
    )
    square = np.asarray(photo.resize((64, 64)))[None]
    assert np.abs(grey_levels(evaluated(square)) - square[0]).max() < 1e-3


def test_erasing_probability_area_and_noise():
    batch, size = 2000, 24
    before = jnp.full((batch, size, size, 1), 5.0)
    erase = jax.jit(functools.partial(augment.erase, probability=0.25), compiler_options=QUICKLY)
    after = np.asarray(erase(jax.random.key(0), before))[..., 0]
    changed = after != 5
    erased = changed.any((1, 2))
    assert abs(erased.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / batch)
    tall, wide = changed.any(2).sum(1)[erased], changed.any(1).sum(1)[erased]
    assert np.array_equal(tall * wide, changed[erased].sum((1, 2)))  # each a rectangle
    area, ratio = tall * wide / size**2, tall / wide
    assert 0.01 < area.min() < 0.04 and 0.3 < area.max() < 0.37
    assert abs(area.mean() - (0.02 + 1 / 3) / 2) < 0.02
    assert 0.24 < ratio.min() < 0.4 and 2.5 < ratio.max() < 4.1
    noise = after[changed]
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    # images share one field of noise but not their place in it
    corner = after[erased & changed[:, 12, 12], 12, 12]
    assert len(np.unique(corner)) == len(corner) > 100


def mixed(mixup, cutmix, keys, batch=6, size=10):
    """Per key the shares of own pixels (batch, size, size) and own targets (batch,); image i is all i."""
    pixels = np.broadcast_to(
        np.arange(batch, dtype=np.float32)[:, None, None, None], (batch, size, size, 1)
    )
    mix = jax.jit(
        functools.partial(augment.mix, mixup=mixup, cutmix=cutmix, switch=0.5),
        compiler_options=QUICKLY,
    )
    own, other = np.arange(batch), np.arange(batch)[::-1]
    for seed in range(keys):
        result, targets = (np.asarray(a) for a in mix(jax.random.key(seed), pixels, np.eye(batch)))
        assert np.allclose(targets.sum(1), 1, atol=1e-6)
        assert np.allclose(targets[own, own] + targets[own, other], 1, atol=1e-6)
        yield (
            (result[..., 0] - other[:, None, None]) / (own - other)[:, None, None],
            targets[own, own],
        )


def test_mixup_shares_are_the_labels():
    shares = []
    for pixels, targets in mixed(0.8, 0.0, keys=60):
        assert np.allclose(pixels, targets[:, None, None], atol=1e-5) and np.ptp(targets) < 1e-6
        shares.append(targets[0])
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 · 2.6)
    assert abs(np.mean(shares) - 0.5) < 0.15 and 0.2 < np.std(shares) < 0.42


def test_cutmix_labels_are_the_area_of_the_box():
    areas = []
    for pixels, targets in mixed(0.0, 1.0, keys=60):
        pasted = np.abs(pixels) < 1e-6
        assert np.all(pasted | (np.abs(pixels - 1) < 1e-6)) and np.all(pasted == pasted[0])
        assert np.allclose(targets, 1 - pasted[0].mean(), atol=1e-6)
        assert pasted[0].sum() == pasted[0].any(0).sum() * pasted[0].any(1).sum()
        areas.append(pasted[0].mean())
    assert max(areas) > 0.5 and min(areas) < 0.05


def test_mixup_and_cutmix_take_turns():
    cut = [np.all(np.abs(pixels * (1 - pixels)) < 1e-6) for pixels, _ in mixed(0.8, 1.0, keys=100)]
    assert 25 <= sum(cut) <= 75


@pytest.fixture(scope='module')
def recipe():
    """The whole published recipe at a small size, compiled once."""
    return jax.jit(
        functools.partial(
            augment.train_batch,
            classes=5,
            image_size=SIZE,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
        compiler_options=QUICKLY,
    )


def test_the_recipe_depends_on_the_key_alone(recipe):
    images, labels = photographs(32)[[0, 1, 2, 3, 0, 1]], np.array([0, 1, 2, 3, 4, 0])
    first, again, other = (recipe(jax.random.key(seed), images, labels) for seed in (7, 7, 8))
    pixels, targets = first
    assert (
        pixels.shape == (6, SIZE, SIZE, 3)
        and pixels.dtype == jnp.float32
        and np.all(np.isfinite(pixels))
    )
    assert targets.shape == (6, 5) and np.allclose(targets.sum(1), 1, atol=1e-6)
    for one, same, different in zip(first, again, other):
        assert np.array_equal(one, same) and not np.array_equal(one, different)
    # no two copies of a photograph look alike, and all stay in the range of a normalised image and its noise
    assert not np.array_equal(pixels[0], pixels[4]) and float(jnp.abs(pixels).max()) < 6


def test_without_mixing_labels_are_only_smoothed():
    images, labels = photographs(8), np.array([2, 0, 1, 2])
    plain = jax.jit(
        functools.partial(
            augment.train_batch,
            classes=4,
            image_size=8,
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
            crop='none',
            flip=False,
            rand_augment='',
            erasing=0,
            mixup=0,
            cutmix=0,
            smoothing=0.1,
        )
    )
    pixels, targets = plain(jax.random.key(0), images, labels)
    assert np.allclose(pixels, (images / 255 - 0.5) / 0.25, atol=1e-5)
    assert np.allclose(targets, np.eye(4)[labels] * 0.9 + 0.025, atol=1e-6)


def test_what_is_not_known_is_refused():
    def refused(**less_usual):
        batch = jax.random.key(0), np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, int)
        recipe = dict(classes=2, image_size=8, mean=(0.5,) * 3, std=(0.25,) * 3) | less_usual
        jax.eval_shape(functools.partial(augment.train_batch, **recipe), *batch)

    with pytest.raises(ValueError, match="'resized', 'pad' or 'none'"):
        refused(crop='centre')
    with pytest.raises(ValueError, match='m9-mstd0.5-inc1'):
        refused(rand_augment='v0')
    with pytest.raises(ValueError, match='4 images does not divide over 3'):
        refused(shards=3)
    with pytest.raises(ValueError, match='crop_fraction=1.5'):
        augment.eval_batch(
            np.zeros((4, 8, 8, 3)), image_size=8, mean=0.5, std=0.25, crop_fraction=1.5
        )
