"""Swin's state dicts by Microsoft's and timm's names; test_hierarchy compares the logits."""

import jax
import numpy as np
import pytest
from published import hierarchical

from s4jax.errors import UsageError
from s4jax.models.weights import swin as importer


def test_newer_timm_names_give_the_same_weights():
    """timm merges at the beginning of a stage, not at the end of the one before, and calls the
    classifier head.fc."""
    arch, state, _, _ = hierarchical('swin')

    def renamed(name):
        name = name.replace('layers.0.downsample', 'layers.1.downsample')
        return name.replace('head.', 'head.fc.')

    timm = {renamed(name): array for name, array in state.items()}
    assert set(timm) != set(state)
    jax.tree.map(
        np.testing.assert_array_equal,
        importer.variables(timm, arch),
        importer.variables({'model': state}, arch),
    )


def test_state_dicts_that_do_not_fit_are_refused():
    arch, state, _, _ = hierarchical('swin')
    lacking = {name: array for name, array in state.items() if name != 'head.weight'}
    with pytest.raises(UsageError, match="the state dict has no 'head.weight'"):
        importer.variables(lacking, arch)
    words = r"'head.weight' has the shape \(9, .*the architecture needs \(10, "
    with pytest.raises(UsageError, match=words):
        importer.variables(state | {'head.weight': state['head.weight'][:9]}, arch)


def test_exported_as_published():
    """Masks and indices, too: the published module takes the state dict strictly."""
    arch, state, _, _ = hierarchical('swin')
    found = importer.state_dict(importer.variables(state, arch), arch)
    assert set(found) == set(state)
    for name, array in state.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_exported_by_the_names_of_timm():
    arch, state, _, _ = hierarchical('swin')
    variables = importer.variables(state, arch)
    found = importer.timm_names(importer.state_dict(variables, arch))
    assert 'head.fc.weight' in found and 'layers.1.downsample.norm.bias' in found
    assert not any('mask' in name or 'index' in name or 'layers.0.down' in name for name in found)
    jax.tree.map(np.testing.assert_array_equal, importer.variables(found, arch), variables)
