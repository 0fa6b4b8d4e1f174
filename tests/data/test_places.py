"""Paths that users write: those that exist, those to be made, those that cannot be."""

import pathlib

import pytest

from s4jax.data import places
from s4jax.errors import UsageError


def test_data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    assert places.data_directory('') == tmp_path / 'tfds'  # it need not exist
    assert places.data_directory(str(tmp_path)) == tmp_path
    assert places.prepared_directory('') == tmp_path / 'tfds' / 's4jax'
    monkeypatch.delenv('TFDS_DATA_DIR')
    assert places.data_directory('') == pathlib.Path('~/tensorflow_datasets').expanduser()


@pytest.mark.parametrize(
    'text, words',
    [
        ('a' * 300, 'is not a path that can be read (File name too long)'),
        ('/'.join(['abc'] * 2000), 'File name too long'),
        ('~nobody-of-this-name/x', 'is not a path that can be read'),
        ('a\x00b', 'is not a path that can be read'),
    ],
)
def test_paths_that_cannot_be(text, words):
    for function in (
        lambda: places.path_of(text, 'data.root'),
        lambda: places.data_directory(text),
    ):
        with pytest.raises(UsageError) as error:
            function()
        assert words in str(error.value) and len(str(error.value)) < 200


def test_a_file_is_not_a_folder(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    for text in (str(tmp_path / 'file'), str(tmp_path / 'file' / 'below')):
        with pytest.raises(UsageError, match='data.root=.*(is a file|is not a folder)'):
            places.existing_directory(text, 'data.root')
    with pytest.raises(UsageError, match='data.root=.* is a file'):
        places.data_directory(str(tmp_path / 'file'))
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'file'))
    with pytest.raises(UsageError, match='TFDS_DATA_DIR=.* is a file'):
        places.data_directory('')


def test_the_nearest_folder_is_named(tmp_path):
    (tmp_path / 'images').mkdir()
    assert places.existing_directory(str(tmp_path / 'images'), 'data.root') == tmp_path / 'images'
    with pytest.raises(UsageError, match='is not a folder; near: images'):
        places.existing_directory(str(tmp_path / 'imges'), 'data.root')
