"""Official archives, in small, as the builders read them."""

import images
import numpy as np
import pytest

from s4jax import data
from s4jax.data import DataSettings, sources
from s4jax.data import __main__ as command


@pytest.mark.parametrize('classes', [10, 100])
def test_cifar(tmp_path, classes):
    expected = images.cifar(tmp_path / f'cifar-{classes}-binary.tar.gz', classes)
    arguments = [
        'prepare',
        f'--name=cifar{classes}',
        f'--archive={tmp_path}/cifar-{classes}-binary.tar.gz',
    ]
    assert command.main(arguments) == 2  # not the official archive
    assert command.main([*arguments, '--any-checksum']) == 0
    loaded = data.load(DataSettings(name=f'cifar{classes}', search=100), seed=0)
    assert loaded.class_names[3] == ('class_3' if classes == 10 else 'fine_3')
    assert len(loaded.class_names) == classes
    assert (len(loaded.everything), len(loaded._test)) == (300, 100)
    assert loaded.train.images.shape[1:] == (32, 32, 3)
    for split, part in (('train', loaded.everything), ('test', loaded._test)):
        found = {(label, pixels.tobytes()) for label, pixels in zip(part.labels, part.images)}
        assert found == {
            (label, pixels.tobytes())
            for (own, _), (label, pixels) in expected.items()
            if own == split
        }


def test_tiny_imagenet(tmp_path):
    wnids = images.tiny_imagenet(tmp_path / 'downloaded.zip')  # by any name
    archive = f'--archive={tmp_path}/downloaded.zip'
    assert command.main(['prepare', '--name=tiny_imagenet', archive, '--any-checksum']) == 0
    loaded = data.load(DataSettings(name='tiny_imagenet', search=200), seed=0)
    assert loaded.class_names[0] == f'{wnids[-1]} word 199' and len(loaded.class_names) == 200
    assert (len(loaded.train), len(loaded.search), len(loaded._test)) == (400, 200, 200)
    assert loaded.train.images.shape[1:] == (64, 64, 3)
    # an image's grey level is its class
    for split, most in ((loaded.everything, 2), (loaded._test, 0)):
        level = split.images.mean((1, 2, 3)) - (199 - split.labels)
        assert level.min() > -1.5 and level.max() < most + 1.5
    assert set(loaded._test.labels) == set(range(200))


def test_sun397(tmp_path):
    expected = images.sun397(tmp_path / 'SUN397.tar.gz')
    archive = f'--archive={tmp_path}/SUN397.tar.gz'
    arguments = ['prepare', '--name=sun397', archive, '--any-checksum', '--storage-size=64']
    assert command.main(arguments) == 0
    loaded = sources.load(DataSettings(name='sun397', storage_size=64))
    assert len(loaded.class_names) == 397
    for split in ('train', 'validation', 'test'):
        found = {
            (round(float(loaded.images[i].mean()), -1), loaded.class_names[loaded.rows['label'][i]])
            for i in loaded.split(split)
        }
        assert found == {
            (grey, name) for (own, _), (grey, name) in expected.items() if own == split
        }
    pixels = loaded.rows['height'].astype(int) * loaded.rows['width']
    assert np.all(np.abs(pixels - 120_000) < 1000)
