"""A data directory for each test, and a folder of images."""

import os

import images
import pytest
from folders import CLASSES

from s4jax import data
from s4jax.data import DataSettings


@pytest.fixture(autouse=True)
def own_data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))


@pytest.fixture
def folder(tmp_path):
    images.make_folder(tmp_path / 'mine', CLASSES)
    return tmp_path / 'mine'


@pytest.fixture(scope='session')
def digits():
    return data.load(DataSettings(name='digits', search=400, test=400), seed=0)


@pytest.fixture
def nobody(tmp_path):
    """The rights of an ordinary user: root may read whatever it wants."""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o005 == 0o005:
            path.chmod(0o755)
    (tmp_path / 'tfds').mkdir(mode=0o777)
    (tmp_path / 'tfds').chmod(0o777)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)
