"""StableHLO and ONNX: written programs compute the logits of JAX, for a batch of any size."""

import jax
import numpy as np
import onnx
import pytest
from predictors import CLASSES, images, made, program

from s4jax.errors import UsageError
from s4jax.exporting import onnx as to_onnx
from s4jax.exporting import packages, stablehlo

FAMILIES = pytest.mark.parametrize(
    'name', ['vit', *(pytest.param(n, marks=pytest.mark.slow) for n in ('swin', 'shunted', 'clip'))]
)


def agrees(written, function, name, tolerance=1e-5):
    for count in (1, 3):
        inputs = function.prepared(images(name, count))
        found = written.run(inputs)
        assert found.shape == (count, CLASSES) and found.dtype == np.float32
        np.testing.assert_allclose(found, function.runner()(inputs), rtol=0, atol=tolerance)


@FAMILIES
def test_stablehlo(name, tmp_path):
    function = program(name)
    (written,) = stablehlo.write(function, tmp_path)
    agrees(written, function, name)
    exported = jax.export.deserialize(bytearray(written.path.read_bytes()))
    assert set(exported.platforms) == {'cpu', 'cuda', 'tpu'}
    assert str(exported.in_avals[0].shape[0]) == 'batch'
    assert written.bytes == written.path.stat().st_size


@FAMILIES
def test_onnx(name, tmp_path, capfd):
    function = program(name)
    (written,) = to_onnx.write(function, tmp_path)
    agrees(written, function, name)
    model = onnx.load(written.path)
    onnx.checker.check_model(model)
    (first,) = model.graph.input
    assert first.name == 'images' and first.type.tensor_type.shape.dim[0].dim_param == 'batch'
    assert first.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [out.name for out in model.graph.output] == ['logits']
    assert ''.join(capfd.readouterr()) == ''  # the libraries' notes are no concern of a user


def test_onnx_of_normalised_images(tmp_path):
    function = program('vit', 'beside')
    (written,) = to_onnx.write(function, tmp_path)
    agrees(written, function, 'vit')


def test_onnx_with_weights_of_8_bits(tmp_path):
    function = program('vit')
    (written,) = to_onnx.write_int8(function, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [to_onnx.NAME]
    model = onnx.load(written.path)
    layers = 3 + 4 * len(made('vit').arch.num_heads) - 1  # patches, head, four in each block
    assert sum(node.op_type == 'MatMulInteger' for node in model.graph.node) == layers
    kinds = [i.data_type for i in model.graph.initializer]
    assert kinds.count(onnx.TensorProto.INT8) >= layers
    inputs = function.prepared(images('vit', 32))
    ours, theirs = function.runner()(inputs), written.run(inputs)
    assert 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(ours).max()


def test_stablehlo_with_weights_of_16_bits(tmp_path):
    function = program('vit')
    (tmp_path / 'whole').mkdir()
    (whole,) = stablehlo.write(function, tmp_path / 'whole')
    (written,) = stablehlo.write(function.rounded(), tmp_path)
    assert written.path.stat().st_size < whole.bytes - made('vit').costs['params']
    inputs = function.prepared(images('vit', 3))
    np.testing.assert_allclose(written.run(inputs), function.rounded().runner()(inputs), atol=1e-5)


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(packages.COMMANDS, 'no_such_library', 'pip install it')
    with pytest.raises(UsageError, match='no_such_library is not installed; run pip install it'):
        packages.need('no_such_library')
    assert '--no-deps' in packages.COMMANDS['jax2onnx']
