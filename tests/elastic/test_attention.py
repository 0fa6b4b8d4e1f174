"""Attention against its formula in float64; entries beyond the head width are zero."""

import jax.numpy as jnp
import numpy as np
import pytest

from s4jax import elastic


@pytest.mark.parametrize('biased', [False, True])
def test_the_formula(biased):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, tokens, 3, 4)) for tokens in (5, 6, 6))
    bias = rng.normal(size=(3, 5, 6)) if biased else np.zeros((3, 5, 6))
    logits = np.einsum('bqhk,bshk->bhqs', q, k) / 2 + bias
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.einsum('bhqs,bshk->bqhk', weights, v)
    arrays = [jnp.asarray(x, jnp.float32) for x in (q, k, v)]
    ours = elastic.attend(*arrays, 4, np.float32(bias) if biased else None)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)

    padded = [jnp.pad(x, ((0, 0),) * 3 + ((0, 2),)) for x in arrays]
    masked = elastic.attend(*padded, jnp.asarray(4), np.float32(bias) if biased else None)
    np.testing.assert_allclose(masked[..., :4], expected, rtol=1e-4, atol=1e-5)
    assert not np.any(masked[..., 4:])
