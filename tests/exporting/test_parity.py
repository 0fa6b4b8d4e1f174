"""The comparison with JAX: what it measures, and what it refuses."""

import numpy as np
import pytest

from s4jax.exporting import parity
from s4jax.exporting.program import Written


def compared(change, tmp_path, count=100):
    """(the comparison with an export whose logits are `change(JAX's)`, JAX's)."""
    logits = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    inputs = np.arange(count)
    path = tmp_path / 'model.onnx'
    path.write_bytes(bytes(30))
    (tmp_path / 'model.onnx.data').write_bytes(bytes(12))
    run = lambda batch: logits[batch]
    written = Written('somebody', path, lambda batch: change(logits[batch].copy()))
    return parity.compare(run, written, inputs, 'none'), logits


def test_what_is_measured(tmp_path):
    found, logits = compared(lambda x: x + np.float32(0.25), tmp_path)
    assert found.difference == pytest.approx(0.25, abs=1e-6) and found.equal == found.images == 100
    assert found.logit == pytest.approx(np.abs(logits).max()) and found.bytes == 42
    assert found.milliseconds > 0 and found.jax_milliseconds > 0


@pytest.mark.parametrize('scale, sound', [(0.9, True), (1.1, False), (np.nan, False)])
def test_float32_may_differ_by_a_ten_thousandth_of_the_largest_logit(scale, sound, tmp_path):
    def change(x):
        x[0, 0] += scale * 1e-4 * logit
        return x

    logit = compared(lambda x: x, tmp_path)[0].logit
    found, _ = compared(change, tmp_path)
    assert (found.failure is None) == sound
    assert sound or 'a logit differs by' in found.failure


@pytest.mark.parametrize(
    'weights, wrong, sound',
    [('bf16', 2, True), ('bf16', 3, False), ('int8', 5, True), ('int8', 6, False)],
)
def test_quantized_weights_may_change_some_classes(weights, wrong, sound, tmp_path):
    def change(batch):
        other = logits[batch].copy()
        mine = np.flatnonzero(batch < wrong)
        other[mine] = -other[mine]
        return other

    logits = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    path = tmp_path / 'model'
    path.write_bytes(b'')
    written = Written('somebody', path, change)
    found = parity.compare(lambda batch: logits[batch], written, np.arange(100), weights)
    assert found.equal == 100 - wrong and (found.failure is None) == sound
    assert sound or f'{100 - wrong} of 100 classes are equal' in found.failure


def test_the_table(tmp_path):
    found, _ = compared(lambda x: x, tmp_path)
    header, rule, row = parity.table([found]).splitlines()
    assert header.count('|') == rule.count('|') == row.count('|') == 10
    assert '| somebody | float32 | 100 | 0.0e+00 |' in row and '| 100.0% | 42 B |' in row
    assert [parity.size(n) for n in (999, 1000, 2.5e6, 3e9)] == ['999 B', '1 kB', '2.5 MB', '3 GB']
