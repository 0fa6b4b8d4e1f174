"""Weights under stable names: back to the same tree to the bit, and by plain NumPy."""

import jax
import ml_dtypes
import numpy as np
import pytest
from predictors import images, made, program
from safetensors.numpy import load_file

from s4jax.errors import UsageError
from s4jax.exporting import safetensors


@pytest.mark.parametrize('name', ['vit', 'swin', 'shunted', 'clip'])
def test_the_same_variables_come_back(name, tmp_path):
    function = program(name, 'beside')
    (written,) = safetensors.write(function, tmp_path)
    found = safetensors.nested(load_file(written.path))
    jax.tree.map(np.testing.assert_array_equal, found, function.variables)
    assert jax.tree.structure(found) == jax.tree.structure(function.variables)


def test_logits_of_the_file(tmp_path):
    function = program('vit', 'beside')
    (written,) = safetensors.write(function, tmp_path)
    inputs = function.prepared(images('vit', 3))
    np.testing.assert_array_equal(written.run(inputs), function.runner()(inputs))


def test_names_are_paths_and_blocks_are_numbered_in_a_stack_and_in_a_list():
    one = {'kernel': np.zeros((3, 2)), 'bias': np.ones(2)}
    stack = {'params': {'blocks': {'fc1': jax.tree.map(lambda leaf: np.stack([leaf] * 2), one)}}}
    unequal = {'params': {'blocks': [{'fc1': one}, {'fc1': {'kernel': np.zeros((3, 4))}}]}}
    names = {f'params.blocks.{i}.fc1.{leaf}' for i in (0, 1) for leaf in ('kernel', 'bias')}
    assert set(safetensors.flat(stack)) == names
    assert set(safetensors.flat(unequal)) == names - {'params.blocks.1.fc1.bias'}
    assert isinstance(safetensors.nested(safetensors.flat(unequal))['params']['blocks'], list)


def test_weights_of_16_bits(tmp_path):
    function = program('vit', 'beside').rounded()
    (written,) = safetensors.write(function, tmp_path)
    found = safetensors.tensors(written.path)
    assert {array.dtype for array in found.values()} == {np.dtype(ml_dtypes.bfloat16)}
    inputs = function.prepared(images('vit', 3))
    np.testing.assert_array_equal(written.run(inputs), function.runner()(inputs))
    assert made('vit').costs['params'] * 2 < written.bytes < made('vit').costs['params'] * 3


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / 'model.safetensors'
    for content in (None, b'', b'no tensors'):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match='cannot be read .*: export again') as error:
            safetensors.tensors(path)
        assert len(str(error.value).splitlines()) == 1
