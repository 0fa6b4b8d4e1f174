"""RandAugment's policies, the odds of its draws, and the order of its layers."""

import jax
import numpy as np
import pytest
from photographs import FILL, LAYERS, SIZE, drawn_operations, once, photographs, planes

from s4jax.data import randaugment


def test_layers_follow_one_another():
    images = planes(photographs(SIZE)[drawn_operations()[1]])
    layers = randaugment.draw(jax.random.key(3), len(images), randaugment.Policy(9.0, 0.5))
    first, second = zip(*map(np.asarray, layers))
    expected = np.asarray(once(once(images, first), second))
    assert np.array_equal(LAYERS(images, layers, fill=FILL, shards=1), expected)
    assert not np.array_equal(once(images, first), expected)


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
        'm9-mstd10.1-inc1',
        'm9-n0-inc1',
        'm9-n16-inc1',
        'm9-n1000000000-inc1',
        'm\N{ARABIC-INDIC DIGIT NINE}-inc1',
        'm9-n1.5-inc1',
        'M9-inc1',
    ],
)
def test_policy_that_is_not_known_is_refused(text):
    with pytest.raises(ValueError, match='m9-mstd0.5-inc1'):
        randaugment.parse_policy(text)
