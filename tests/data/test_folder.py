"""Folders of classes, with and without splits of their own, and those that are wrong."""

import os
import shutil

import images
import numpy as np
import pytest
from folders import CLASSES, load, names
from PIL import Image

from s4jax.errors import UsageError


def test_a_folder_of_classes(folder):
    (folder / 'ants' / 'more' / 'deep').mkdir(parents=True)
    (folder / 'ants' / 'more' / 'deep' / 'UPPER.PNG').write_bytes(
        images.encoded(images.noise(1000))
    )
    for hidden in ('ants/._resource.png', 'ants/notes.txt', '.git/x.png', 'ants/.thumbnails/x.png'):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_bytes(b'')
    # a name in Latin 1
    os.rename(folder / 'cats' / '000.png', os.fsencode(folder / 'cats') + b'/caf\xe9.png')
    loaded = load(folder)
    assert loaded.class_names == ('ants', 'bees', 'cats')
    assert 'cats/caf\N{REPLACEMENT CHARACTER}.png' in loaded.prepared.names()
    os.rename(os.fsencode(folder / 'cats') + b'/caf\xe9.png', folder / 'cats' / '000.png')
    loaded = load(folder)
    splits = {split: names(loaded, split) for split in ('train', 'search', 'test')}
    assert {split: len(part) for split, part in splits.items()} == {
        'train': 66,
        'search': 7,
        'test': 18,
    }
    files = (p for p in folder.glob('[a-z]*/**/*') if p.suffix in ('.png', '.PNG'))
    assert set.union(*splits.values()) == {
        str(p.relative_to(folder))
        for p in files
        if not p.name.startswith('.') and p.parent.name != '.thumbnails'
    }
    paths = loaded.prepared.names()
    for split in (loaded.train, loaded.search, loaded._test):
        own = (paths[i] for i in split.indices)
        for image, label, name in zip(split.images, split.labels, own):
            assert name.startswith(loaded.class_names[label])
            with Image.open(folder / name) as file:
                box = file.resize((16, 16), Image.Resampling.BICUBIC, box=(2, 0, 22, 20))
            np.testing.assert_array_equal(image, np.asarray(box))
    assert np.abs(np.bincount(loaded._test.labels) - 0.2 * np.array([41, 30, 20])).max() <= 1
    assert load(folder, seed=1).splits != loaded.splits == load(folder).splits


@pytest.mark.parametrize('held', ['val', 'valid', 'validation'])
def test_a_folder_with_its_own_splits(tmp_path, held):
    first = 0
    for split, count in (('train', 9), (held, 4), ('test', 5)):
        first = images.make_folder(tmp_path / 'mine' / split, {'x': count, 'y': count}, first)
    loaded = load(tmp_path / 'mine')
    for split, place in (('train', 'train'), ('search', held), ('test', 'test')):
        assert {name.split('/')[0] for name in names(loaded, split)} == {place}
    shutil.rmtree(tmp_path / 'mine' / 'test')  # then the validation images are the test split
    loaded = load(tmp_path / 'mine', search=4)
    assert len(loaded.train) == 14 and len(loaded.search) == 4
    assert {n.split('/')[0] for n in names(loaded, 'test')} == {held}


@pytest.mark.parametrize(
    'change, words',
    [
        (
            lambda root: shutil.rmtree(root / 'bees') or shutil.rmtree(root / 'cats'),
            'holds 1 folders of images: at least two classes',
        ),
        (
            lambda root: [shutil.rmtree(root / name) for name in CLASSES],
            'holds 0 folders of images',
        ),
        (lambda root: (root / 'empty').mkdir(), 'mine/empty holds no image (.png, .jpg'),
        (
            lambda root: (
                [
                    (root / split).mkdir() or (root / name).rename(root / split / name)
                    for split, name in (('train', 'ants'), ('test', 'bees'))
                ]
                and (root / 'cats').rename(root / 'train' / 'cats')
            ),
            'mine/test and ',
        ),
        (
            lambda root: [
                (root / split).mkdir() or (root / name).rename(root / split / name)
                for split, name in (('train', 'ants'), ('val', 'bees'), ('valid', 'cats'))
            ],
            'has two folders for one split: train, val, valid',
        ),
        (lambda root: root.rename(root.with_name('mime')), 'is not a folder; near: mime'),
    ],
)
def test_folders_that_are_wrong_are_error(folder, change, words):
    change(folder)
    with pytest.raises(UsageError) as error:
        load(folder)
    assert words in str(error.value) and '\n' not in str(error.value)


def test_train_may_be_a_class(tmp_path):
    images.make_folder(tmp_path / 'mine', {'train': 20, 'plane': 20, 'car': 20})
    assert load(tmp_path / 'mine').class_names == ('car', 'plane', 'train')


def test_a_folder_must_be_named():
    with pytest.raises(UsageError, match="root='' is missing where name='folder'"):
        load('')
