"""The images on which exports are compared."""

import numpy as np
import pytest
from PIL import Image
from predictors import made

from s4jax.errors import UsageError
from s4jax.exporting import heldout


def test_images_of_a_folder_as_the_run_would_store_them(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for i in range(7):
        paths.append(tmp_path / 'below' / f'{i}.png')
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(paths[-1])
    (tmp_path / 'notes.txt').write_text('no image')
    predictor = made('vit')
    found = heldout.of_a_folder(str(tmp_path), predictor, 3)
    expected = [predictor.stored(paths[i]) for i in (0, 3, 6)]  # spread evenly
    np.testing.assert_array_equal(found, expected)
    assert len(heldout.of_a_folder(str(tmp_path), predictor, 99)) == 7


def test_folders_that_do_not_do(tmp_path):
    with pytest.raises(UsageError, match='holds no image'):
        heldout.of_a_folder(str(tmp_path), made('vit'), 3)
    with pytest.raises(UsageError, match='--folder=.*is not a folder'):
        heldout.of_a_folder(str(tmp_path / 'none'), made('vit'), 3)
    (tmp_path / 'bad.png').write_bytes(b'no image')
    with pytest.raises(UsageError, match=r'bad\.png cannot be read'):
        heldout.of_a_folder(str(tmp_path), made('vit'), 3)
