"""State dicts by the published names: files, and timm's own module where it is installed.

tests/models/weights compares the state dicts with those of the published modules.
"""

import importlib.util

import numpy as np
import pytest
from predictors import images, program
from safetensors.numpy import load_file

from s4jax.errors import UsageError
from s4jax.exporting import pytorch

FILES = {'vit': ['autoformer'], 'swin': ['microsoft', 'timm'], 'shunted': ['shunted']}


@pytest.mark.parametrize('name', FILES)
def test_files_run_as_the_model(name, tmp_path):
    function = program(name, 'beside')
    written = pytorch.write(function, name, tmp_path)
    assert [one.path.stem for one in written] == FILES[name]
    inputs = function.prepared(images(name, 3))
    for one in written:
        np.testing.assert_allclose(one.run(inputs), function.runner()(inputs), rtol=0, atol=1e-5)
    counters = {n: a for n, a in load_file(written[0].path).items() if a.dtype != np.float32}
    assert all(array.dtype == np.int64 for array in counters.values())


@pytest.mark.skipif(
    not importlib.util.find_spec('timm'), reason='timm brings PyTorch: not asked for'
)
def test_the_state_dict_of_timm_runs_in_timm(tmp_path):
    """Loaded strictly, shifted windows, masks and blocks of unequal hidden widths included."""
    function = program('swin', 'beside')
    written = {one.run_by: one for one in pytorch.write(function, 'swin', tmp_path)}
    inputs = function.prepared(images('swin', 5))
    expected = function.runner()(inputs)
    np.testing.assert_allclose(written['timm'].run(inputs), expected, rtol=0, atol=1e-5)


def test_a_family_without_a_published_module_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no PyTorch module of family='clip' was published"):
        pytorch.write(program('clip', 'beside'), 'clip', tmp_path)
    assert not list(tmp_path.iterdir())
