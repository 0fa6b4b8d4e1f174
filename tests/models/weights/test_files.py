"""Tensors of files: chosen by name, in float32, and refused in one line where they are damaged."""

import sys
import types

import numpy as np
import pytest
import safetensors.numpy
from clip_weights import save

from s4jax.errors import UsageError
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


def test_pytorch_files_are_read_without_their_code_first(tmp_path, monkeypatch):
    """A stand-in plays the library. TorchScript is read where the safe way fails."""
    calls, state = [], {'state_dict': {'a': Tensor(np.arange(3.0)), 'b': Tensor(np.ones(1))}}
    archive = types.SimpleNamespace(state_dict=lambda: state['state_dict'])

    def safe(path, map_location, weights_only):
        assert map_location == 'cpu' and weights_only is True
        calls.append('safe')
        if path.suffix == '.pt':
            raise RuntimeError('a TorchScript archive')
        return state

    def script(path, map_location):
        calls.append('script')
        return archive

    fake = types.SimpleNamespace(load=safe, jit=types.SimpleNamespace(load=script))
    monkeypatch.setitem(sys.modules, 'torch', fake)
    for name, expected in (('x.bin', ['safe']), ('x.pt', ['safe', 'script'])):
        calls.clear()
        found = tensors(tmp_path / name, lambda names: ['a'], '')
        assert calls == expected and list(found) == ['a']
        np.testing.assert_array_equal(found['a'], np.arange(3, dtype=np.float32))
