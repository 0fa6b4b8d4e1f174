"""Layers with the weights of the widest architecture, of which any smaller one uses a prefix of every axis."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

SAVED = 'saved'  # the name of the activations that a block's backward pass keeps; the rest is computed again


def prefix(array: jax.Array, *sizes: int | jax.Array | None) -> jax.Array:
    """The first `sizes` entries of the trailing axes: an int slices, a traced integer masks, None keeps the axis whole."""
    for axis, size in zip(range(-len(sizes), 0), sizes):
        length = array.shape[axis]
        if size is None or (isinstance(size, int) and size == length):
            continue
        if isinstance(size, int):
            if size > length:
                raise ValueError(f'a prefix of {size} exceeds the axis of {length}')
            array = lax.slice_in_dim(array, 0, size, axis=array.ndim + axis)
        else:
            inside = (jnp.arange(length) < size).reshape((length,) + (1,) * (-axis - 1))
            array = jnp.where(inside, array, jnp.zeros((), array.dtype))
    return array


def weight(array: jax.Array, *sizes: int | jax.Array | None) -> jax.Array:
    """A weight's prefix. Only ints apply: masks go on activations, so that weights stay shared under `vmap`."""
    return prefix(array, *(size if isinstance(size, int) else None for size in sizes))


class Linear(nn.Module):
    """A dense layer from the trailing axes `inputs` to the axes `outputs`, computed as one 2-D matmul.

    One axis per elastic size: a kernel is (*inputs, *outputs), a bias (*outputs).
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dtype: Any = jnp.float32
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.truncated_normal(0.02)

    @nn.compact
    def __call__(self, x: jax.Array, *sizes: int | jax.Array | None) -> jax.Array:
        axes = len(self.inputs)
        kernel = self.param('kernel', self.kernel_init, self.inputs + self.outputs)
        kernel = weight(kernel, *x.shape[-axes:], *sizes)
        rows = x.reshape(-1, math.prod(x.shape[-axes:])).astype(self.dtype)
        y = rows @ kernel.reshape(rows.shape[1], -1).astype(self.dtype)
        if self.use_bias:
            bias = weight(self.param('bias', nn.initializers.zeros, self.outputs), *sizes)
            y = y + bias.reshape(-1).astype(self.dtype)
        return prefix(y.reshape(*x.shape[:-axes], *kernel.shape[axes:]), *sizes)


class LayerNorm(nn.Module):
    """Layer normalisation over the trailing axes `features`, of the last one over the first `size` entries, in float32."""

    features: tuple[int, ...]
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, size: int | jax.Array) -> jax.Array:
        scale = weight(self.param('scale', nn.initializers.ones, self.features), size)
        bias = weight(self.param('bias', nn.initializers.zeros, self.features), size)
        axes, count = tuple(range(-len(self.features), 0)), math.prod(self.features[:-1]) * size
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        centred = prefix(x - jnp.sum(x, axes, keepdims=True) / count, size)
        variance = jnp.sum(centred * centred, axes, keepdims=True) / count
        return prefix(centred * lax.rsqrt(variance + self.epsilon) * scale + bias, size).astype(
            self.dtype
        )


class Conv(nn.Module):
    """A convolution of maps (batch, height, width, inputs), zero-padded evenly; the kernel is (size, size, inputs, outputs)."""

    size: int
    stride: int
    inputs: int
    outputs: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, outputs: int | jax.Array) -> jax.Array:
        kernel = self.param(
            'kernel',
            fan_out(self.size**2 * self.outputs),
            (self.size, self.size, self.inputs, self.outputs),
        )
        bias = weight(self.param('bias', nn.initializers.zeros, (self.outputs,)), outputs).astype(
            self.dtype
        )
        kernel = weight(kernel, x.shape[-1], outputs).astype(self.dtype)
        y = lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel,
            (self.stride,) * 2,
            ((self.size // 2,) * 2,) * 2,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )
        return prefix(y + bias, outputs)


class DepthwiseConv(nn.Module):
    """A 3×3 convolution of each channel by itself, of maps (batch, height, width, *channels).

    Nine shifted products, which XLA fuses into one loop: as a convolution with groups, value and gradient took 11 to 22 times
    as long on a CPU.
    """

    channels: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *sizes: int | jax.Array | None) -> jax.Array:
        kernel = self.param('kernel', fan_out(9), (3, 3, *self.channels))
        kernel = weight(kernel, *x.shape[3:]).astype(self.dtype)
        bias = weight(
            self.param('bias', nn.initializers.zeros, self.channels), *x.shape[3:]
        ).astype(self.dtype)
        height, width = x.shape[1:3]
        padded = jnp.pad(
            x.astype(self.dtype), ((0, 0), (1, 1), (1, 1)) + ((0, 0),) * len(self.channels)
        )
        y = sum(
            padded[:, i : i + height, j : j + width] * kernel[i, j]
            for i in range(3)
            for j in range(3)
        )
        return prefix(y + bias, *sizes)


def fan_out(fan: int) -> Callable:
    """The initial weights of a convolution with `fan` outputs per input channel: N(0, 2 / fan)."""
    return nn.initializers.normal(math.sqrt(2 / fan))


def patches(x: jax.Array, size: int) -> jax.Array:
    """(batch, height, width, d) -> (batch, height // size, width // size, size, size, d); a rest at the border is cut off."""
    rows, columns = x.shape[1] // size, x.shape[2] // size
    x = x[:, : rows * size, : columns * size].reshape(
        x.shape[0], rows, size, columns, size, x.shape[-1]
    )
    return x.swapaxes(2, 3)


class Mlp(nn.Module):
    """Two dense layers with an activation, the exact (erf) GELU unless another is given, between them."""

    features: int
    hidden: int
    dtype: Any = jnp.float32
    activation: Callable = functools.partial(nn.gelu, approximate=False)

    @nn.compact
    def __call__(
        self, x: jax.Array, features: int | jax.Array, hidden: int | jax.Array
    ) -> jax.Array:
        y = checkpoint_name(
            Linear((self.features,), (self.hidden,), self.dtype, name='fc1')(x, hidden), SAVED
        )
        return Linear((self.hidden,), (self.features,), self.dtype, name='fc2')(
            self.activation(y), features
        )
