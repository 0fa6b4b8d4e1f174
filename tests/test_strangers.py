"""No file of a run or of a checkpoint can run code: each is replaced by a pickle that would."""

import pickle
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from s4jax.data import DataSettings, sources
from s4jax.errors import UsageError
from s4jax.models.clip import features
from s4jax.report.reading import read
from s4jax.runtime.checkpoints import Checkpoints
from s4jax.runtime.files import Lines, read_json


class Harm:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), 'w'))


@pytest.fixture
def marker(tmp_path):
    """A file that exists as soon as some code of a crafted file has run."""
    path = tmp_path / 'harmed'
    pickle.loads(pickle.dumps(Harm(path))).close()
    assert path.exists()  # the crafted pickles do harm where they are unpickled
    path.unlink()
    return path


def crafted(marker):
    """A pickle, one as a NumPy array of objects, and Python itself."""
    objects = marker.with_name('objects.npy')
    np.save(objects, np.array([Harm(marker)], object), allow_pickle=True)
    code = f'__import__("pathlib").Path({str(marker)!r}).touch()'
    return {
        'pickle': pickle.dumps(Harm(marker)),
        'objects': objects.read_bytes(),
        'python': code.encode(),
        'json': f'{{"__class__": "os.system", "py/object": "{code[:20]}"}}'.replace(
            '\\', ''
        ).encode(),
    }


RUN = [
    'config.json',
    'journal.jsonl',
    'timing.jsonl',
    'trajectory.json',
    'result.json',
    'phases/supernet_0.json',
    'phases/explore_0.json',
    'phases/evolve.json',
    'metrics/retrain.jsonl',
]


@pytest.mark.parametrize('kind', ['pickle', 'objects', 'python', 'json'])
def test_files_of_a_run(tmp_path, marker, kind):
    content = crafted(marker)[kind]
    for name in RUN:
        path = tmp_path / 'run' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if kind in ('pickle', 'objects'):
            assert read_json(path) is None
    try:
        read(tmp_path / 'run')
    except (UsageError, KeyError):
        pass
    try:
        Lines(tmp_path / 'run/journal.jsonl')
    except UnicodeDecodeError:
        pass
    assert not marker.exists()


@pytest.mark.parametrize('kind', ['pickle', 'objects', 'python'])
def test_files_of_a_checkpoint(tmp_path, marker, kind):
    state = {'params': {'kernel': jax.numpy.arange(12.0)}, 'step': jax.numpy.int32(3)}
    said, content = [], crafted(marker)[kind]
    checkpoints = Checkpoints(tmp_path / 'whole', said.append)
    checkpoints.save(1, state)
    checkpoints.wait()
    files = [p for p in (tmp_path / 'whole').rglob('*') if p.is_file()]
    assert len(files) > 4
    for number, path in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(tmp_path / 'whole', copy)
        (copy / path.relative_to(tmp_path / 'whole')).write_bytes(content)
        found = Checkpoints(copy, said.append).latest(state)
        if found:  # the file is not needed, as a lock or a time is not
            np.testing.assert_array_equal(found[1]['params']['kernel'], np.arange(12.0))
    assert any('is damaged' in line for line in said) and not marker.exists()


@pytest.mark.parametrize(
    'name', ['images.npy', 'rows.npy', 'about.json', 'begun.json', 'names.json']
)
@pytest.mark.parametrize('kind', ['pickle', 'objects', 'python'])
def test_files_of_prepared_images(tmp_path, marker, monkeypatch, name, kind):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    for label in 'ab':
        (tmp_path / 'mine' / label).mkdir(parents=True)
        Image.fromarray(np.full((4, 4, 3), ord(label), np.uint8)).save(
            tmp_path / 'mine' / label / 'x.png'
        )
    settings = DataSettings(name='folder', root=str(tmp_path / 'mine'), storage_size=4)
    directory = sources.load(settings).directory
    (directory / name).write_bytes(crafted(marker)[kind])
    try:
        sources.load(settings)
    except (UsageError, ValueError, EOFError):
        pass
    assert not marker.exists()


def test_states_of_an_encoder(tmp_path, marker):
    path = tmp_path / 'x.bin'
    for content in crafted(marker).values():
        path.write_bytes(content)
        assert features._read(path, (2, 3), np.float32) is None
    assert not marker.exists()
