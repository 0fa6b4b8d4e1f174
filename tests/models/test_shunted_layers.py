"""The attention of Shunted against its equations, written out in NumPy."""

import jax
import numpy as np
import pytest

from s4jax.models.shunted_layers import INNER_EPSILON, ShuntedAttention

SIDE, WIDTH, HEADS = 4, 8, 4


def dense(layer, x, axes):
    """A dense layer over the last `axes` axes of x."""
    return np.tensordot(x, layer['kernel'], axes) + layer['bias']


def local(layer, x):
    """The 3×3 convolution of each channel of a map (batch, height, width, …) by itself."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)) + ((0, 0),) * (x.ndim - 3))
    height, width = x.shape[1:3]
    return layer['bias'] + sum(
        padded[:, i : i + height, j : j + width] * layer['kernel'][i, j]
        for i in range(3)
        for j in range(3)
    )


def attend(q, k, v):
    logits = np.einsum('bthk,bshk->bhts', q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return np.einsum('bhts,bshk->bthk', weights, v)


def flat(x):
    return x.reshape(x.shape[0], -1, *x.shape[3:])


def coarser(p, x, ratio, i):
    """Keys and values of the map that is `ratio` times coarser."""
    n = SIDE // ratio
    y = x.reshape(-1, n, ratio, n, ratio, WIDTH).swapaxes(2, 3)
    y = dense(p[f'reduce{i}'], y, 3)
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + INNER_EPSILON)
    y = y * p[f'norm{i}']['scale'] + p[f'norm{i}']['bias']
    y = np.asarray(jax.nn.gelu(y, approximate=False))
    k, v = np.moveaxis(dense(p[f'kv{i}'], y, 1), 3, 0)
    return flat(k), flat(v + local(p[f'local{i}'], v))


@pytest.mark.parametrize('ratio', [1, 4])
def test_the_equations(ratio):
    rng = np.random.default_rng(0)
    model = ShuntedAttention(WIDTH, HEADS, ratio, np.float32)
    x = rng.normal(size=(2, SIDE, SIDE, WIDTH)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x, WIDTH, WIDTH // HEADS)
    p = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)['params']
    with jax.default_matmul_precision('highest'):
        ours = model.apply({'params': p}, x, WIDTH, WIDTH // HEADS)

    q = flat(dense(p['q'], x, 1))
    if ratio == 1:
        k, v = np.moveaxis(dense(p['kv'], x, 1), 3, 0)
        out = attend(q, flat(k), flat(v)) + flat(local(p['local'], v))
    else:
        half = HEADS // 2
        parts = (
            [q[:, :, :half], *coarser(p, x, ratio, 1)],
            [
                q[:, :, half:],
                *coarser(p, x, ratio // 2, 2),
            ],
        )
        out = np.concatenate([attend(*part) for part in parts], 2)
    expected = dense(p['out'], out, 2).reshape(x.shape)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
