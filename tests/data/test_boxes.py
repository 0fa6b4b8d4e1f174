"""Random boxes: their sizes and places, what is erased, what is mixed and what the labels say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from photographs import QUICKLY

from s4jax.data import boxes


def test_random_boxes_keep_to_scale_and_ratio():
    height, width = 300, 400
    random_boxes = jax.jit(
        functools.partial(boxes.random_box, ratio=(3 / 4, 4 / 3)), static_argnums=(1, 2, 3, 4)
    )
    top, left, tall, wide = np.array(
        random_boxes(jax.random.key(0), 4000, height, width, (0.08, 1.0))
    )
    area, ratio = tall * wide / (height * width), wide / tall
    assert np.all((top >= 0) & (left >= 0) & (top + tall <= height) & (left + wide <= width))
    assert 0.078 < area.min() < 0.1 and 0.9 < area.max() <= 1
    assert 0.74 < ratio.min() < 0.78 and 1.3 < ratio.max() < 1.35
    # a box that fits may lie anywhere: the free room above it is on average half of the free room
    assert abs(np.mean(top / np.maximum(1, height - tall)) - 0.5) < 0.03
    # where no box of this ratio can have this area: the centre, as wide as the ratio allows
    centre = random_boxes(jax.random.key(0), 3, 30, 200, (0.9, 1.0))
    assert np.array(centre).T.tolist() == [[0, 80, 30, 40]] * 3


def test_erasing_probability_area_and_noise():
    batch, size = 2000, 24
    before = jnp.full((batch, size, size, 1), 5.0)
    erase = jax.jit(functools.partial(boxes.erase, probability=0.25), compiler_options=QUICKLY)
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
    """Per key the shares of own pixels (batch, size, size) and own targets (batch,).

    All pixels of image i are i.
    """
    pixels = np.broadcast_to(
        np.arange(batch, dtype=np.float32)[:, None, None, None], (batch, size, size, 1)
    )
    mix = jax.jit(
        functools.partial(boxes.mix, mixup=mixup, cutmix=cutmix, switch=0.5),
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
