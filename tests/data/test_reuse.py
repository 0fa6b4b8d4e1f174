"""A changed folder costs only the images that changed."""

import shutil

import images
import numpy as np
import pytest
from folders import load

from s4jax.data import prepared, reuse


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded."""
    found, decode = [], prepared.decode
    monkeypatch.setattr(
        prepared, 'decode', lambda data, *rest: found.append(data) or decode(data, *rest)
    )
    return found


def anew(folder, monkeypatch, tmp_path):
    """The folder as prepared from nothing."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'another'))
    return load(folder)


def test_only_what_changed_is_decoded(folder, decoded, monkeypatch, tmp_path):
    first = load(folder)
    assert len(decoded) == 90
    decoded.clear()
    (folder / 'ants/007.png').unlink()
    (folder / 'bees/002.png').write_bytes(images.encoded(images.noise(1001)))
    (folder / 'cats/new.png').write_bytes(images.encoded(images.noise(1002)))
    second = load(folder)
    assert len(decoded) == 2 and second.digest != first.digest
    assert not reuse.old(second.prepared.directory).exists()
    whole = anew(folder, monkeypatch, tmp_path)
    assert second.digest == whole.digest and second.splits == whole.splits
    np.testing.assert_array_equal(second.prepared.images, whole.prepared.images)
    np.testing.assert_array_equal(second.prepared.rows, whole.prepared.rows)


def test_a_removed_class_gives_the_others_new_labels(folder, decoded, monkeypatch, tmp_path):
    load(folder)
    decoded.clear()
    shutil.rmtree(folder / 'ants')
    second = load(folder)
    assert not decoded and second.class_names == ('bees', 'cats')
    assert second.digest == anew(folder, monkeypatch, tmp_path).digest


def test_broken_files_that_are_removed_cost_nothing(tmp_path, decoded):
    images.make_folder(tmp_path / 'mine', {'ants': 20, 'bees': 20})
    for name in ('ants/003.png', 'bees/005.png'):
        (tmp_path / 'mine' / name).write_bytes(b'no')
    assert load(tmp_path / 'mine', unreadable=0.05).facts['unreadable'] == 2
    decoded.clear()
    for name in ('ants/003.png', 'bees/005.png'):
        (tmp_path / 'mine' / name).unlink()
    assert load(tmp_path / 'mine').facts['unreadable'] == 0 and not decoded


def test_a_copy_that_was_cut_off_goes_on(folder, decoded, monkeypatch):
    load(folder)
    decoded.clear()
    (folder / 'ants/007.png').unlink()
    monkeypatch.setattr(reuse, 'CHUNK', 10)
    real, copied = prepared.digest_of, []

    def cut(pixels):
        copied.append(1)
        if len(copied) == 25:
            raise KeyboardInterrupt
        return real(pixels)

    monkeypatch.setattr(prepared, 'digest_of', cut)
    with pytest.raises(KeyboardInterrupt):
        load(folder)
    monkeypatch.setattr(prepared, 'digest_of', lambda pixels: copied.append(1) or real(pixels))
    copied.clear()
    loaded = load(folder)
    assert len(copied) == 89 - 20 and not decoded  # two chunks were done
    assert not reuse.old(loaded.prepared.directory).exists()


def test_damaged_pixels_are_decoded_again(folder, decoded):
    first = load(folder)
    with open(first.prepared.directory / 'images.npy', 'r+b') as file:
        file.seek(-1, 2)
        last = file.read()
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    decoded.clear()
    (folder / 'ants/007.png').unlink()
    load(folder)
    assert len(decoded) == 1


@pytest.mark.parametrize('name', ['keys.json', 'rows.npy', 'images.npy'])
@pytest.mark.parametrize('content', [b'', b'[]', b'\x93NUMPY', b'[1, 2'])
def test_a_damaged_preparation_is_not_used(folder, decoded, name, content):
    (load(folder).prepared.directory / name).write_bytes(content)
    decoded.clear()
    (folder / 'ants/007.png').unlink()
    load(folder)
    assert len(decoded) == 89


def test_another_size_has_a_place_of_its_own(folder, decoded):
    load(folder, size=16)
    load(folder, size=8)
    decoded.clear()
    load(folder, size=16)
    assert not decoded
