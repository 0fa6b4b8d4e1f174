"""Published datasets: those that TFDS prepared, downloads, and what is wrong with an archive."""

import functools
import hashlib
import http.server
import importlib
import os
import shutil
import sys
import threading

import images
import numpy as np
import pytest

from s4jax import data
from s4jax.data import DataSettings, published
from s4jax.data import __main__ as command
from s4jax.errors import UsageError


@pytest.fixture
def server(tmp_path):
    """The network: a folder of archives on this machine."""
    (tmp_path / 'served').mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / 'served')
    handler.func.log_message = lambda *_: None
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield tmp_path / 'served', f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()


def test_a_download_and_its_checksum(server, monkeypatch, capsys):
    from s4jax.data.builders import BUILDERS

    folder, url = server
    archive = folder / 'cifar-10-binary.tar.gz'
    images.cifar(archive, 10)
    cifar10 = BUILDERS['cifar10']
    monkeypatch.setattr(cifar10, 'URL', f'{url}/cifar-10-binary.tar.gz')
    assert command.main(['prepare', '--name=cifar10']) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith('s4jax: cifar10 does not have the official checksum')
    assert cifar10.SHA256 in line
    monkeypatch.setattr(cifar10, 'SIZE', archive.stat().st_size)
    monkeypatch.setattr(cifar10, 'SHA256', hashlib.sha256(archive.read_bytes()).hexdigest())
    assert command.main(['prepare', '--name=cifar10']) == 0
    archive.unlink()  # from here on the network is gone
    assert command.main(['prepare', '--name=cifar10']) == 0
    assert '400 images of 10 classes' in capsys.readouterr().out
    assert data.load(DataSettings(name='cifar10', search=100), seed=0).facts['test'] == 100
    shutil.rmtree(os.environ['TFDS_DATA_DIR'])
    assert command.main(['prepare', '--name=cifar10']) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith('s4jax: ') and '--archive' in line
    assert 'cifar10 could not be prepared from the network' in line


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--name=cifar1O'], "data.name='cifar1O' is not a dataset; near: cifar10"),
        (['--name=tiny_imagnet'], 'near: tiny_imagenet'),
        (['--name=cifar10', '--archive=ROOT/nowhere.tar.gz'], 'nowhere.tar.gz is not a file'),
        (
            ['--name=cifar10', '--archive=ROOT/cifar-10-binary.tar.gz'],
            'does not have the official checksum',
        ),
        (
            ['--name=cifar10', '--archive=ROOT/cifar-10-binary.tar.gz', '--any-checksum'],
            'could not be prepared',
        ),
        (
            ['--name=tiny_imagenet', '--archive=ROOT/cifar-10-binary.tar.gz', '--any-checksum'],
            'could not be prepared',
        ),
        (['--name=folder'], "--root='' is missing"),
        (
            ['--name=folder', '--root=ROOT', '--storage-size=0'],
            "--storage-size='0' must be a whole number from 1",
        ),
    ],
)
def test_mistakes_are_reported_in_one_line(tmp_path, capsys, arguments, words):
    (tmp_path / 'cifar-10-binary.tar.gz').write_bytes(b'cut off')
    assert command.main(['prepare', *(a.replace('ROOT', str(tmp_path)) for a in arguments)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith('s4jax: ') and words in line


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A small dataset prepared by TFDS itself in array_record, as `tfds build` leaves it."""
    import tensorflow_datasets as tfds
    from PIL import Image

    root = tmp_path_factory.mktemp('tfds')

    class Shapes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version('1.0.0')

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        'image': tfds.features.Image(shape=(None, None, 3)),
                        'label': tfds.features.ClassLabel(names=['low', 'high']),
                    }
                ),
            )

        def _split_generators(self, _):
            return {
                'train': self._generate_examples(0, 30),
                'test': self._generate_examples(30, 40),
            }

        def _generate_examples(self, start, stop):
            for i in range(start, stop):
                pixels = np.random.default_rng(i).integers(0, 100, (20, 24, 3)) + 100 * (i % 2)
                yield i, {'image': Image.fromarray(pixels.astype(np.uint8)), 'label': i % 2}

    Shapes(data_dir=root, file_format='array_record').download_and_prepare()
    return root


def test_a_tfds_dataset_without_tensorflow(prepared):
    settings = DataSettings(name='shapes', root=str(prepared), storage_size=16, search=6)
    loaded = data.load(settings, seed=0)
    assert loaded.class_names == ('low', 'high') and loaded.facts['test'] == 10
    assert len(loaded.train) == 24 and len(loaded.search) == 6
    assert loaded.train.images.shape[1:] == (16, 16, 3)
    means = loaded.everything.images.mean((1, 2, 3))
    np.testing.assert_array_equal(means > 100, loaded.everything.labels == 1)
    again = data.load(settings, seed=0)
    assert again.digest == loaded.digest


def test_what_only_tensorflow_can_do_is_refused(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared / 'shapes', tmp_path / 'shapes')
    info = tmp_path / 'shapes' / '1.0.0' / 'dataset_info.json'
    info.write_text(info.read_text().replace('array_record', 'tfrecord'))
    words = 'shapes/1.0.0 was prepared as tfrecord, which only TensorFlow reads: remove .*prepare'
    with pytest.raises(UsageError, match=words):
        data.load(DataSettings(name='shapes', root=str(tmp_path)), seed=0)

    class NeedsTensorFlow:
        data_path = tmp_path

        def download_and_prepare(self, **_):
            importlib.import_module('tensorflow')

    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    monkeypatch.setattr(published, 'makers', lambda *_: [NeedsTensorFlow])
    words = r"TFDS needs more to prepare beans .*tensorflow.*: pip install 's4jax\[prepare\]'"
    with pytest.raises(UsageError, match=words):
        published.download('beans', str(tmp_path))


def test_datasets_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageError, match="data.name='cifar1O' is not a dataset; near: cifar10"):
        data.load(DataSettings(name='cifar1O', root=str(tmp_path)), seed=0)
    words = 'cifar10 is not prepared in .*: python -m s4jax.data prepare --name=cifar10 --root='
    with pytest.raises(UsageError, match=words):
        data.load(DataSettings(name='cifar10', root=str(tmp_path)), seed=0)
