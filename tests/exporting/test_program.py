"""The function that is exported computes what `s4jax.load` predicts."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from predictors import ARCHITECTURES, images, made, program, settings_of

from s4jax.exporting.program import Program


@pytest.mark.parametrize('name', ['vit', 'clip'])
@pytest.mark.parametrize('preprocess', ['inside', 'beside'])
def test_logits_are_those_of_the_predictor(name, preprocess):
    stored, function = images(name, 5), program(name, preprocess)
    inputs = function.prepared(stored)
    assert inputs.shape[1:] == function.shape and inputs.dtype == function.dtype
    expected = made(name).logits(stored)
    np.testing.assert_allclose(function.runner()(inputs), expected, rtol=0, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_model_in_bfloat16_is_exported_in_float32():
    whole = made('clip')
    narrow = dataclasses.replace(
        whole, model=whole.family.Model(whole.arch, jnp.bfloat16), inputs=halved(whole.inputs)
    )
    exported = Program.create(narrow, settings_of('clip'), 'inside')
    stored = images('clip', 3)
    np.testing.assert_array_equal(exported.runner()(stored), program('clip').runner()(stored))
    assert np.abs(narrow.logits(stored) - whole.logits(stored)).max() > 1e-3


def halved(inputs):
    """An encoder that computes in bfloat16 with the same weights."""
    tower = dataclasses.replace(inputs.tower, dtype=jnp.dtype('bfloat16'))
    return dataclasses.replace(inputs, tower=tower)


def test_rounded_weights_compute_in_float32():
    whole = program('vit')
    rounded = whole.rounded()
    leaves = jax.tree.leaves(rounded.variables)
    assert {leaf.dtype for leaf in leaves} == {np.dtype(ml_dtypes.bfloat16)}
    widened = dataclasses.replace(
        whole, variables=jax.tree.map(lambda leaf: leaf.astype(np.float32), rounded.variables)
    )
    stored = images('vit', 3)
    np.testing.assert_array_equal(rounded.runner()(stored), widened.runner()(stored))


def test_every_family_has_a_model_here():
    from s4jax.models import FAMILIES

    assert set(ARCHITECTURES) == set(FAMILIES)
