"""Tensors of files: chosen by name, in float32, and refused in one line where they are damaged."""

import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from clip_weights import save

from s4jax.errors import UsageError
from s4jax.models.clip.inputs import EncoderSettings
from s4jax.models.weights.clip import load
from s4jax.models.weights.files import tensors


def test_chosen_tensors_in_float32(tmp_path):
    path, array = tmp_path / 'x.safetensors', np.arange(6).reshape(2, 3)
    safetensors.numpy.save_file({'a': array.astype(np.float16), 'b': array}, path)
    found = tensors(path, lambda names: [name for name in names if name == 'a'], 'do this')
    assert list(found) == ['a'] and found['a'].dtype == np.float32
    np.testing.assert_array_equal(found['a'], array)


def test_damaged_files_are_refused_with_advice(tmp_path):
    path = tmp_path / 'x.safetensors'
    path.write_bytes(b'12345')
    with pytest.raises(
        UsageError, match='x.safetensors cannot be read .*is it whole. do this'
    ) as e:
        tensors(path, list, 'do this')
    assert '\n' not in str(e.value)


def test_pytorch_files_need_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', None)
    folder = save(tmp_path / 'torch', {}, None, 'pytorch_model.bin')
    with pytest.raises(
        UsageError, match='is a PyTorch file: pip install torch to read it, or downl'
    ):
        load(str(folder))


class Tensor:
    """A tensor of PyTorch, as far as it is used."""

    def __init__(self, array):
        self.array = array

    def float(self):
        return Tensor(self.array.astype(np.float32))

    def numpy(self):
        return self.array


@pytest.fixture
def torch(monkeypatch):
    """A stand-in plays the library; `calls` says which of its functions was used."""
    state = {'state_dict': {'a': Tensor(np.arange(3.0)), 'b': Tensor(np.ones(1))}}
    archive = types.SimpleNamespace(state_dict=lambda: state['state_dict'])
    fake = types.SimpleNamespace(calls=[])

    def safe(path, map_location, weights_only):
        assert map_location == 'cpu' and weights_only is True
        fake.calls.append('safe')
        if path.name == 'more.bin':
            raise pickle.UnpicklingError('Weights only load failed. This file can still be loaded')
        return state

    def script(path, map_location):
        fake.calls.append('script')
        return archive

    fake.load, fake.jit = safe, types.SimpleNamespace(load=script)
    monkeypatch.setitem(sys.modules, 'torch', fake)
    return fake


def torchscript(path):
    with zipfile.ZipFile(path, 'w') as archive:
        for name in ('data.pkl', 'constants.pkl', 'code/__torch__/model.py'):
            archive.writestr(f'model/{name}', b'')
    return path


def test_pytorch_files_are_read_without_their_code(tmp_path, torch):
    found = tensors(tmp_path / 'x.bin', lambda names: ['a'], '')
    assert torch.calls == ['safe'] and list(found) == ['a']
    np.testing.assert_array_equal(found['a'], np.arange(3, dtype=np.float32))
    words = 'more.bin holds more than tensors, or is damaged; .*: do this'
    with pytest.raises(UsageError, match=words) as error:
        tensors(tmp_path / 'more.bin', list, 'do this', trust=True)
    assert '\n' not in str(error.value) and torch.calls == ['safe', 'safe']


def test_torchscript_is_loaded_only_where_it_is_trusted(tmp_path, torch):
    path = torchscript(tmp_path / 'ViT-B-16.pt')
    with pytest.raises(UsageError, match='is a TorchScript archive, which may run code') as error:
        tensors(path, list, 'do this')
    assert torch.calls == [] and '\n' not in str(error.value)
    assert '--config.encoder.trust=true' in str(error.value) and 'save_file' in str(error.value)
    assert list(tensors(path, list, '', trust=True)) == ['a', 'b'] and torch.calls == ['script']


def test_the_config_says_whether_to_trust(tmp_path, torch):
    with pytest.raises(UsageError, match='is a TorchScript archive'):
        load(str(torchscript(tmp_path / 'model.pt')))
    with pytest.raises(UsageError, match="no 'embeddings"):  # it is loaded, and not a CLIP
        load(str(tmp_path / 'model.pt'), True)
    assert EncoderSettings(weights='x').trust is False
