"""Layers with the weights of the widest architecture; a smaller one uses a prefix of every axis.

A layer is built with its widest sizes and called with the sizes to run. A size of None keeps the
axis whole.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike

from s4jax.elastic.sizes import Size

# The name of activations that a block's backward pass keeps; all others are computed again.
SAVED = 'saved'


def saved(x: jax.Array, axes: int = 1) -> jax.Array:
    """`x`, which a block's backward pass keeps, with its last `axes` axes as one: a TPU would pad
    the last axis of what is kept to 128."""
    return checkpoint_name(x.reshape(*x.shape[:-axes], -1), SAVED).reshape(x.shape)


def recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose backward pass keeps what is named SAVED and computes the rest again."""
    return jax.checkpoint(function, policy=jax.checkpoint_policies.save_only_these_names(SAVED))


def prefix(array: jax.Array, *sizes: Size | None) -> jax.Array:
    """The first `sizes` entries of the trailing axes: an int slices, a traced integer masks."""
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


def weight(array: jax.Array, *sizes: Size | None) -> jax.Array:
    """A weight's prefix, of which only ints apply: masks go on activations, so that many
    architectures share the weights under `vmap`."""
    return prefix(array, *(size if isinstance(size, int) else None for size in sizes))


def parameter(module: nn.Module, name: str, init: Callable[..., Any], *arguments: Any) -> Any:
    """A parameter of a module, at first `init(key, *arguments)`.

    `init` runs only where there is no parameter yet. `module.param` traces it at every call, to
    compare shapes; here they are compared with `arguments` where these are one shape.
    """
    if not module.has_variable('params', name):
        return module.param(name, init, *arguments)
    found: Any = module.get_variable('params', name)
    if len(arguments) == 1 and found.shape != arguments[0]:
        raise ValueError(f'parameter {name} has the shape {found.shape}, not {arguments[0]}')
    return found


class Linear(nn.Module):
    """A dense layer from the trailing axes `inputs` to the axes `outputs`, as one 2-D matmul.

    One axis per elastic size: a kernel is (*inputs, *outputs), a bias (*outputs).
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dtype: DTypeLike = jnp.float32
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.truncated_normal(0.02)

    @nn.compact
    def __call__(self, x: jax.Array, *sizes: Size | None) -> jax.Array:
        """x (…, *inputs) -> (…, *outputs); `sizes` are those of the outputs."""
        axes = len(self.inputs)
        kernel = parameter(self, 'kernel', self.kernel_init, self.inputs + self.outputs)
        kernel = weight(kernel, *x.shape[-axes:], *sizes)
        rows = x.reshape(-1, math.prod(x.shape[-axes:])).astype(self.dtype)
        y = rows @ kernel.reshape(rows.shape[1], -1).astype(self.dtype)
        if self.use_bias:
            bias = weight(parameter(self, 'bias', nn.initializers.zeros, self.outputs), *sizes)
            y = y + bias.reshape(-1).astype(self.dtype)
        return prefix(y.reshape(*x.shape[:-axes], *kernel.shape[axes:]), *sizes)


class LayerNorm(nn.Module):
    """Layer normalisation over the trailing axes `features`, in float32."""

    features: tuple[int, ...]
    epsilon: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, size: Size) -> jax.Array:
        """x (…, *features) -> the same shape; `size` is that of the last axis."""
        scale = weight(parameter(self, 'scale', nn.initializers.ones, self.features), size)
        bias = weight(parameter(self, 'bias', nn.initializers.zeros, self.features), size)
        axes, count = tuple(range(-len(self.features), 0)), math.prod(self.features[:-1]) * size
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        centred = prefix(x - jnp.sum(x, axes, keepdims=True) / count, size)
        variance = jnp.sum(centred * centred, axes, keepdims=True) / count
        normed = centred * lax.rsqrt(variance + self.epsilon) * scale + bias
        return prefix(normed, size).astype(self.dtype)


class Conv(nn.Module):
    """A convolution with zero padding of size // 2; its kernel is (size, size, inputs, outputs)."""

    size: int
    stride: int
    inputs: int
    outputs: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, outputs: Size) -> jax.Array:
        """x (batch, height, width, inputs) -> (batch, height / stride, width / stride, outputs)."""
        shape = (self.size, self.size, self.inputs, self.outputs)
        kernel = parameter(self, 'kernel', fan_out(self.size**2 * self.outputs), shape)
        bias = weight(parameter(self, 'bias', nn.initializers.zeros, (self.outputs,)), outputs)
        bias = bias.astype(self.dtype)
        y = lax.conv_general_dilated(
            x.astype(self.dtype),
            weight(kernel, x.shape[-1], outputs).astype(self.dtype),
            window_strides=(self.stride,) * 2,
            padding=((self.size // 2,) * 2,) * 2,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )
        return prefix(y + bias, outputs)


class DepthwiseConv(nn.Module):
    """A 3×3 convolution of each channel by itself, with zero padding.

    Nine shifted products, which XLA fuses into one loop: as a convolution with groups, value and
    gradient took 11 to 22 times as long on a CPU.
    """

    channels: tuple[int, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *sizes: Size | None) -> jax.Array:
        """x (batch, height, width, *channels) -> the same shape; `sizes` are of the channels."""
        channels = x.shape[3:]
        kernel = parameter(self, 'kernel', fan_out(9), (3, 3, *self.channels))
        kernel = weight(kernel, *channels).astype(self.dtype)
        bias = weight(parameter(self, 'bias', nn.initializers.zeros, self.channels), *channels)
        bias = bias.astype(self.dtype)
        height, width = x.shape[1:3]
        border = ((0, 0), (1, 1), (1, 1)) + ((0, 0),) * len(self.channels)
        padded = jnp.pad(x.astype(self.dtype), border)
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
    """x (batch, height, width, d) -> (batch, height // size, width // size, size, size, d).

    What is left at the border is cut off.
    """
    rows, columns = x.shape[1] // size, x.shape[2] // size
    whole = x[:, : rows * size, : columns * size]
    split = whole.reshape(x.shape[0], rows, size, columns, size, x.shape[-1])
    return split.swapaxes(2, 3)


class Mlp(nn.Module):
    """Two dense layers with an activation between them, by default the exact (erf) GELU."""

    features: int
    hidden: int
    dtype: DTypeLike = jnp.float32
    activation: Callable = functools.partial(nn.gelu, approximate=False)

    @nn.compact
    def __call__(self, x: jax.Array, features: Size, hidden: Size) -> jax.Array:
        """x (…, features) -> the same shape."""
        y = Linear((self.features,), (self.hidden,), self.dtype, name='fc1')(x, hidden)
        y = self.activation(saved(y))
        return Linear((self.hidden,), (self.features,), self.dtype, name='fc2')(y, features)
