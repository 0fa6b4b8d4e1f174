"""ONNX by jax2onnx, for a batch of any size; 8-bit weights by ONNX Runtime's own tool."""

import contextlib
import io
import logging
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np

from s4jax.exporting.packages import need
from s4jax.exporting.program import Program, Runner, Written

NAME = 'model.onnx'


def write(program: Program, directory: pathlib.Path) -> list[Written]:
    """Writes the program; returns how it runs."""
    _convert(program, directory / NAME)
    return [Written('onnxruntime', directory / NAME, read(directory / NAME))]


def write_int8(program: Program, directory: pathlib.Path) -> list[Written]:
    """As `write`; dense layers have 8-bit weights and quantize their inputs when they run."""
    quantization = need('onnxruntime.quantization')
    whole = directory / 'float32.onnx'
    _convert(program, whole)
    with _quiet():
        _split(whole)
        quantization.quantize_dynamic(
            whole,
            directory / NAME,
            op_types_to_quantize=['MatMul'],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
    for path in directory.glob('float32.onnx*'):  # and its .data, where it is large
        path.unlink()
    return [Written('onnxruntime', directory / NAME, read(directory / NAME))]


def _convert(program: Program, path: pathlib.Path) -> None:
    need('onnx')
    need('onnxruntime')
    jax2onnx = need('jax2onnx')
    with _quiet():
        jax2onnx.to_onnx(
            program.function(),
            [program.symbolic()],
            model_name='s4jax',
            return_mode='file',
            output_path=path,
            input_names=['images'],
            output_names=['logits'],
        )


def _split(path: pathlib.Path) -> None:
    """Makes of each Gemm without an addend the MatMul that it is: the tool leaves a Gemm alone."""
    onnx = need('onnx')
    model = onnx.load(path)
    for node in model.graph.node:
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == 'Gemm' and values == {'alpha': 1.0, 'beta': 0.0}:
            node.op_type = 'MatMul'
            del node.input[2:], node.attribute[:]
    onnx.save(model, path)


def read(path: pathlib.Path) -> Runner:
    """A written program, in ONNX Runtime on the CPU."""
    onnxruntime = need('onnxruntime')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])

    def run(images: np.ndarray) -> np.ndarray:
        return session.run(['logits'], {'images': images})[0]

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' notes on what they convert, which are no concern of a user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
