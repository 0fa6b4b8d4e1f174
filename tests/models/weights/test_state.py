"""State dicts: shapes are checked, a supernet's prefix is cut, layers are turned to our layout."""

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.models.weights.state import State


def made(prefix=False, advice='', **shapes):
    rng = np.random.default_rng(0)
    arrays = {name.replace('__', '.'): rng.normal(size=shape) for name, shape in shapes.items()}
    return State(arrays, "somebody's", prefix, advice)


def test_shapes_are_checked():
    state = made(a=(2, 3), advice='do this')
    np.testing.assert_array_equal(state.take('a', 2, None), state.arrays['a'])
    words = r"no 'b' \(it has a, …\): is it somebody's\? do this"
    with pytest.raises(UsageError, match=words):
        state.take('b', 2)
    for shape, shown in (((2, 2), '2, 2'), ((2,), '2'), ((None, 4), 'any, 4'), ((2, 3, 1), '2, 3')):
        with pytest.raises(UsageError, match=rf"'a' has the shape \(2, 3\), .*needs \({shown}"):
            state.take('a', *shape)


def test_a_prefix_of_a_supernet():
    state = made(prefix=True, a=(4, 3))
    np.testing.assert_array_equal(state.take('a', 2, 3), state.arrays['a'][:2])
    with pytest.raises(UsageError, match='the architecture needs'):
        state.take('a', 5, 3)


def test_layers():
    state = made(
        n__weight=(6,), n__bias=(6,), l__weight=(6, 4), l__bias=(6,), c__weight=(6, 1, 3, 3),
        c__bias=(6,),
    )  # fmt: skip
    x = np.random.default_rng(1).normal(size=(2, 2))
    norm, linear = state.norm('n', 2, 3), state.linear('l', (2, 2), (3, 2))
    np.testing.assert_array_equal(norm['scale'].ravel(), state.arrays['n.weight'])
    ours = np.tensordot(x, linear['kernel'], 2) + linear['bias']
    theirs = state.arrays['l.weight'] @ x.ravel() + state.arrays['l.bias']
    np.testing.assert_allclose(ours.ravel(), theirs)
    assert set(state.linear('l', 4, 6, bias=False)) == {'kernel'}
    kernel = state.depthwise('c', 2, 3)['kernel']
    assert kernel.shape == (3, 3, 2, 3)
    np.testing.assert_array_equal(kernel[1, 2].ravel(), state.arrays['c.weight'][:, 0, 1, 2])
    np.testing.assert_array_equal(
        state.conv('c', 3, 1, 6)['kernel'][:, :, 0], kernel.reshape(3, 3, 6)
    )
