"""State dicts of the Shunted Transformer; test_hierarchy compares the logits."""

import jax
import numpy as np
import pytest
from published import hierarchical

from s4jax.errors import UsageError
from s4jax.models.weights import shunted as importer


def test_state_dicts_inside_a_checkpoint():
    arch, state, _, _ = hierarchical('shunted')
    for key in ('state_dict', 'model'):
        jax.tree.map(
            np.testing.assert_array_equal,
            importer.variables({key: state}, arch),
            importer.variables(state, arch),
        )


def test_state_dicts_that_do_not_fit_are_refused():
    arch, state, _, _ = hierarchical('shunted')
    lacking = {name: array for name, array in state.items() if name != 'head.weight'}
    with pytest.raises(UsageError, match="the state dict has no 'head.weight'"):
        importer.variables(lacking, arch)
    words = r"'head.weight' has the shape \(9, .*the architecture needs \(10, "
    with pytest.raises(UsageError, match=words):
        importer.variables(state | {'head.weight': state['head.weight'][:9]}, arch)


def test_exported_as_published():
    """All but PyTorch's counters of batches, which say nothing of the model."""
    arch, state, _, _ = hierarchical('shunted')
    found = importer.state_dict(importer.variables(state, arch), arch)
    assert set(found) == set(state)
    for name, array in state.items():
        if name.endswith('num_batches_tracked'):
            assert found[name] == 0 and found[name].dtype == array.dtype
        else:
            np.testing.assert_array_equal(found[name], array, strict=True)
