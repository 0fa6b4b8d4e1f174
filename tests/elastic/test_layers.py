"""Layers: prefixes, and convolutions against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from s4jax import elastic


def test_prefix():
    array = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(elastic.prefix(jnp.asarray(array), 2, 3), array[:, :2, :3])
    masked = elastic.prefix(jnp.asarray(array), jnp.asarray(2), jnp.asarray(3))
    expected = np.zeros_like(array)
    expected[:, :2, :3] = array[:, :2, :3]
    np.testing.assert_array_equal(masked, expected)
    with pytest.raises(ValueError, match='a prefix of 5 exceeds the axis of 4'):
        elastic.prefix(jnp.asarray(array), 5)


def filled(layer, x, *sizes):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: layer.init(key, x, *sizes), jax.random.key(0))
    return jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)


LAYERS = {  # layer, shape of x, widest size of the outputs, sizes to run
    'linear': (elastic.Linear((6,), (8,)), (2, 6), 8, 5, 3),
    'norm': (elastic.LayerNorm((6,), 1e-5), (2, 6), 6, 5, 5),
    'conv': (elastic.Conv(3, 2, 6, 8), (2, 7, 7, 6), 8, 5, 3),
    'depthwise': (elastic.DepthwiseConv((6,)), (2, 5, 5, 6), 6, 5, 5),
}


@pytest.mark.parametrize('name', LAYERS)
def test_a_mask_gives_what_a_slice_gives_and_zeros(name):
    layer, shape, widest, inputs, outputs = LAYERS[name]
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    variables = filled(layer, x, widest)
    x[..., inputs:] = 0
    sliced = layer.apply(variables, x[..., :inputs], outputs)
    masked = layer.apply(variables, x, jnp.asarray(outputs))
    np.testing.assert_allclose(masked[..., :outputs], sliced, rtol=1e-5, atol=1e-5)
    assert sliced.shape[-1] == outputs and not np.any(masked[..., outputs:])


def test_a_depthwise_convolution_is_that_of_xla():
    layer = elastic.DepthwiseConv((6,))
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 6)).astype(np.float32)
    variables = filled(layer, x, None)
    kernel, bias = variables['params']['kernel'], variables['params']['bias']
    expected = lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (1, 1),
        'SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=6,
    )
    np.testing.assert_allclose(layer.apply(variables, x, None), expected + bias, atol=1e-4)


def test_patches_cut_off_the_border():
    x = np.arange(2 * 5 * 4 * 3.0).reshape(2, 5, 4, 3)
    patches = np.asarray(elastic.patches(jnp.asarray(x), 2))
    assert patches.shape == (2, 2, 2, 2, 2, 3)
    np.testing.assert_array_equal(patches[1, 1, 0], x[1, 2:4, :2])
