"""Stacks of blocks: two forms of their parameters, unrolled = scanned, stochastic depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4jax import elastic


def test_drop_path_is_linear_over_the_depth_and_keeps_the_mean():
    factors = np.asarray(elastic.drop_path(jax.random.key(0), 0.5, 5, 4000))
    kept = (factors > 0).mean(axis=(1, 2))
    np.testing.assert_allclose(kept, 1 - np.linspace(0, 0.5, 5), atol=0.02)
    np.testing.assert_allclose(factors.mean(axis=(1, 2)), 1, atol=0.04)


def test_equal_blocks_are_stacked_and_others_listed():
    def init(i, key):
        return {'w': jax.random.normal(key, (2, 3))}

    keys = jax.random.split(jax.random.key(0), 3)
    stacked = elastic.init_blocks(jax.random.key(0), init, 3, uniform=True)
    listed = elastic.init_blocks(jax.random.key(0), init, 3, uniform=False)
    assert stacked['w'].shape == (3, 2, 3)
    for i, block in enumerate(elastic.split_blocks(stacked)):
        np.testing.assert_array_equal(block['w'], listed[i]['w'])
        np.testing.assert_array_equal(block['w'], jax.random.normal(keys[i], (2, 3)))
    joined = elastic.join_blocks(jax.device_get(listed))
    np.testing.assert_array_equal(joined['w'], stacked['w'])
    unequal = [{'w': np.ones(2)}, {'w': np.ones(3)}]
    assert elastic.join_blocks(unequal) is unequal and elastic.split_blocks(unequal) is unequal


@pytest.mark.parametrize('depth', [0, 1, 3])
def test_unrolled_equals_scanned(depth):
    """x = x · w + factor · size, with a size per block."""
    rng = np.random.default_rng(0)
    x, w, given = (rng.normal(size=n).astype(np.float32) for n in (2, 3, 3))

    def block(i, w, x, factor, a, b):
        return x * w + factor * (10 * a + b)

    a, b = (1, 2, 2), (3, 3, 4)
    expected = elastic.run_blocks(block, w, x, depth, given, a, b)
    choices = (
        elastic.Choice(jnp.array([0, 1, 1]), (1, 2)),
        elastic.Choice(jnp.array([0, 0, 1]), (3, 4)),
    )
    for sizes in ((jnp.array(a), jnp.array(b)), choices, (choices[0], jnp.array(b))):
        scanned = elastic.run_blocks(block, w, x, jnp.asarray(depth), given, *sizes)
        np.testing.assert_allclose(scanned, expected, rtol=1e-6)
    if depth:
        with pytest.raises(TypeError, match='trace the depth, too'):
            elastic.run_blocks(block, w, x, depth, given, *choices)
