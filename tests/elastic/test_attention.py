"""Attention against its formula in float64; entries beyond the head width are zero."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4jax import elastic
from s4jax.runtime import mesh as meshes


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


@pytest.mark.parametrize(
    'queries, keys, split', [(197, 197, True), (200, 130, False), (256, 65, False)]
)
def test_a_gpu_has_a_kernel_with_the_same_values_and_gradients(queries, keys, split, monkeypatch):
    """What surrounds cuDNN's kernel (padding, scaling, devices), with XLA in its place."""
    called = []

    def kernel(q, k, v, *, scale, implementation):
        assert implementation == 'cudnn' and q.shape[1] % 2 == k.shape[1] % 2 == 0
        assert q.shape[-1] == k.shape[-1] == v.shape[-1] and q.shape[-1] % 8 == 0
        called.append(q.shape)
        wide = (t.astype(jnp.float32) for t in (q, k, v))  # a CPU has no product in float16
        return attention(*wide, scale=scale, implementation='xla').astype(q.dtype)

    attention = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, 'dot_product_attention', kernel)
    rng = np.random.default_rng(0)
    arrays = [
        jnp.asarray(rng.normal(size=(2, 3, n, 11)), jnp.float16) for n in (queries, keys, keys)
    ]
    # a width beyond the head's, as that of AutoFormer's positions
    own = lambda q, k, v: elastic.attend_by_head(q, k, v, jnp.asarray(9)).astype(jnp.float32)
    value = lambda *given: jnp.sum(own(*given) * weights)
    weights = jnp.asarray(rng.normal(size=(2, 3, queries, 11)), jnp.float32)
    expected = jax.value_and_grad(value, (0, 1, 2))(*arrays)
    assert not called
    place = elastic.Place('gpu', meshes.create() if split else None)

    @jax.jit
    def on_a_gpu(*given):
        with elastic.on(place):
            return jax.value_and_grad(value, (0, 1, 2))(*given)

    close = functools.partial(np.testing.assert_allclose, rtol=0.02, atol=0.02)
    jax.tree.map(close, on_a_gpu(*arrays), expected)
    assert called
    with elastic.on(place.alone()):  # many subnets at once, on the same keys
        many = jax.vmap(own, (0, None, None))(jnp.stack([arrays[0], -arrays[0]]), *arrays[1:])
    close(many[1], own(-arrays[0], *arrays[1:]))


@pytest.mark.parametrize('dtype, tokens', [(jnp.float32, 197), (jnp.float16, 49)])
def test_a_gpu_writes_out_what_its_kernel_does_not_serve(dtype, tokens, monkeypatch):
    monkeypatch.delattr(jax.nn, 'dot_product_attention')
    q = jnp.ones((1, 1, tokens, 8), dtype)
    with elastic.on(elastic.Place('gpu')):
        np.testing.assert_allclose(elastic.attend_by_head(q, q, q, 8), q, rtol=1e-3)
