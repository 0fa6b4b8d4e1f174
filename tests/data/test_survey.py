"""A look at a folder: sizes and colours as they are, and nothing is prepared."""

import numpy as np
import pytest
from PIL import Image

from s4jax.data.sources import DataSettings
from s4jax.data.survey import SAMPLE, Survey, survey
from s4jax.errors import UsageError


def write(root, colours, sizes):
    for label in ('a', 'b'):
        (root / label).mkdir(parents=True)
        for k, size in enumerate(sizes):
            image = Image.new('RGB', size, colours[k % len(colours)])
            image.save(root / label / f'{k}.png')


def of(root):
    return survey(DataSettings(name='folder', root=str(root)))


def test_a_folder_in_colour(tmp_path):
    write(tmp_path, [(255, 0, 0), (0, 0, 255)], [(30, 20), (50, 70), (40, 90), (90, 60)])
    found = of(tmp_path)
    assert (found.images, found.classes, found.side, found.channels) == (8, 2, 45, 3)
    assert found.mean == (0.5, 0.0, 0.5) and found.std == (0.5, 0.05, 0.5)
    assert Survey.from_json({k: v for k, v in vars(found).items()}) == found
    assert (found.validation, found.test) == (0, 0)


def test_a_grey_folder_has_one_channel(tmp_path):
    write(tmp_path, [(0, 0, 0), (255, 255, 255), (51, 51, 52), (51, 51, 51)], [(9, 9)] * 4)
    found = of(tmp_path)
    assert found.channels == 1 and found.side == 9
    expected = np.array([0, 255, 51, 51]) / 255
    assert found.mean == pytest.approx((expected.mean(),), abs=2e-3)
    assert found.std == pytest.approx((expected.std(),), abs=2e-3)


def test_splits_of_its_own_and_damaged_images(tmp_path):
    for split in ('train', 'val', 'test'):
        write(tmp_path / split, [(9, 9, 9)], [(12, 12)] * 3)
    (tmp_path / 'train' / 'a' / '0.png').write_bytes(b'damaged')
    found = of(tmp_path)
    assert (found.images, found.validation, found.test) == (18, 6, 6)
    for path in tmp_path.rglob('*.png'):
        path.write_bytes(b'damaged')
    with pytest.raises(UsageError, match='none of a sample of images can be read'):
        of(tmp_path)


def test_a_dataset_that_is_prepared():
    found = survey(DataSettings(name='digits'))
    assert (found.images, found.classes, found.side, found.channels) == (1797, 10, 8, 1)
    assert abs(found.mean[0] - 0.305) < 0.02 and SAMPLE < 1797
