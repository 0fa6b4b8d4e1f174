"""A function on some images of a batch: those, all of them, and no others."""

import jax
import numpy as np
import pytest

from s4jax.data import subset
from s4jax.errors import UsageError

IMAGES = np.random.default_rng(0).integers(0, 200, (24, 5, 3)).astype(np.uint8)
ADDED = np.arange(24, dtype=np.uint8)


def where_needed(needed, share, shards):
    add = lambda images, added: images + added[:, None, None]
    call = lambda needed: subset.where_needed(needed, share, add, IMAGES, (ADDED,), shards)
    return np.asarray(jax.jit(call)(needed))


@pytest.mark.parametrize('shards', [1, 2, 8])
@pytest.mark.parametrize('least', [2**15, 1])  # in one step, in many
@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_the_images_that_need_it(share, least, shards, monkeypatch):
    monkeypatch.setattr(subset, 'LEAST_VALUES', least)
    needed = np.random.default_rng(1).random(24) < share
    expected = np.where(needed[:, None, None], IMAGES + ADDED[:, None, None], IMAGES)
    assert np.array_equal(where_needed(needed, share, shards), expected)
    # more of them than was expected
    assert np.array_equal(where_needed(needed, 0.01, shards), expected)


def test_a_batch_that_does_not_divide_over_the_devices():
    with pytest.raises(UsageError, match='24 images does not divide over 7 devices'):
        where_needed(np.ones(24, bool), 0.5, 7)
