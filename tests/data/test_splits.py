"""Splits: pure functions of the seed, and a test split that opens once."""

import images
import numpy as np
import pytest
from folders import load

from s4jax import data
from s4jax.data import DataSettings
from s4jax.errors import UsageError


def rows(split):
    return {
        image.tobytes() + bytes([label])
        for image, label in zip(split.images, split.labels.astype(np.uint8))
    }


def test_splits_are_disjoint_stratified_and_seeded(digits):
    train, search, tested = rows(digits.train), rows(digits.search), rows(digits._test)
    assert not train & search and not train & tested and not search & tested
    assert rows(digits.everything) == train | search
    for split in (digits.search, digits._test):
        assert np.ptp(np.bincount(split.labels)) <= 2
    settings = DataSettings(name='digits', search=400, test=400)
    again, other = (data.load(settings, seed) for seed in (0, 1))
    assert again.digest == digits.digest != other.digest


def test_the_test_split_is_sealed_until_the_last_phase(digits):
    for finished in ([], ['retrain'], ['supernet_0', 'evolve', 'baseline']):
        with pytest.raises(data.TestSplitSealed, match='still to come'):
            digits.test(finished)
    assert len(digits.test(['retrain', 'baseline'])) == 400


def test_sizes_of_splits_are_checked():
    for wrong in (dict(search=5), dict(test=1796), dict(search=0.999)):
        with pytest.raises(UsageError, match='must be between the number of classes'):
            data.load(DataSettings(name='digits', **dict(search=400, test=400) | wrong), seed=0)


def test_a_class_of_very_few_images_can_be_split(tmp_path):
    images.make_folder(tmp_path / 'mine', {'many': 60, 'two': 2, 'one': 1})
    for seed in range(8):
        loaded = load(tmp_path / 'mine', seed)
        assert np.all(np.bincount(loaded.train.labels, minlength=3) > 0)


def test_splits_share_no_image_and_leave_none_out(folder):
    loaded = load(folder)
    splits = [set(part) for part in loaded.splits.values()]
    assert len(set.union(*splits)) == sum(map(len, splits)) == 90
