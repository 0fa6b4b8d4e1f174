"""Elastic layers: weights of the widest architecture, of which any smaller one uses a prefix of every axis.

A size says how: an int slices (the result is smaller, and so is the work), a traced integer masks (the shape stays, entries
beyond the prefix are zero, and many architectures share one matmul under `vmap`), a `Choice` switches between ints.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

SAVED = 'saved'        # the name of the activations that a block's backward pass keeps; the rest is computed again


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed:
    """A size, or a whole tuple of sizes, that `jit` must not trace."""

    value: Any = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Choice:
    """A size drawn by a traced index from static values: the blocks of a scan switch between them."""

    index: jax.Array
    values: tuple[int, ...] = dataclasses.field(metadata={'static': True})


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
        return prefix(centred * lax.rsqrt(variance + self.epsilon) * scale + bias, size).astype(self.dtype)


class Conv(nn.Module):
    """A convolution of maps (batch, height, width, inputs), zero-padded evenly; the kernel is (size, size, inputs, outputs)."""

    size: int
    stride: int
    inputs: int
    outputs: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, outputs: int | jax.Array) -> jax.Array:
        kernel = self.param('kernel', fan_out(self.size ** 2 * self.outputs), (self.size, self.size, self.inputs, self.outputs))
        bias = weight(self.param('bias', nn.initializers.zeros, (self.outputs,)), outputs).astype(self.dtype)
        kernel = weight(kernel, x.shape[-1], outputs).astype(self.dtype)
        y = lax.conv_general_dilated(x.astype(self.dtype), kernel, (self.stride,) * 2, ((self.size // 2,) * 2,) * 2,
                                     dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
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
        bias = weight(self.param('bias', nn.initializers.zeros, self.channels), *x.shape[3:]).astype(self.dtype)
        height, width = x.shape[1:3]
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1)) + ((0, 0),) * len(self.channels))
        y = sum(padded[:, i:i + height, j:j + width] * kernel[i, j] for i in range(3) for j in range(3))
        return prefix(y + bias, *sizes)


def fan_out(fan: int) -> Callable:
    """The initial weights of a convolution with `fan` outputs per input channel: N(0, 2 / fan)."""
    return nn.initializers.normal(math.sqrt(2 / fan))


def patches(x: jax.Array, size: int) -> jax.Array:
    """(batch, height, width, d) -> (batch, height // size, width // size, size, size, d); a rest at the border is cut off."""
    rows, columns = x.shape[1] // size, x.shape[2] // size
    x = x[:, :rows * size, :columns * size].reshape(x.shape[0], rows, size, columns, size, x.shape[-1])
    return x.swapaxes(2, 3)


class Mlp(nn.Module):
    """Two dense layers with an activation, the exact (erf) GELU unless another is given, between them."""

    features: int
    hidden: int
    dtype: Any = jnp.float32
    activation: Callable = functools.partial(nn.gelu, approximate=False)

    @nn.compact
    def __call__(self, x: jax.Array, features: int | jax.Array, hidden: int | jax.Array) -> jax.Array:
        y = checkpoint_name(Linear((self.features,), (self.hidden,), self.dtype, name='fc1')(x, hidden), SAVED)
        return Linear((self.hidden,), (self.features,), self.dtype, name='fc2')(self.activation(y), features)


def attend(q: jax.Array, k: jax.Array, v: jax.Array, head_dim: int | jax.Array, bias: Any = None) -> jax.Array:
    """Attention of q, k, v (…, tokens, heads, width), of whose width `head_dim` are real; softmax in float32.

    `bias`, which broadcasts to (…, heads, queries, keys), is added to the scaled logits.
    """
    q, k, v = (t.swapaxes(-3, -2) for t in (q, k, v))
    logits = (q @ k.swapaxes(-1, -2)).astype(jnp.promote_types(q.dtype, jnp.float32))
    logits = logits * (head_dim ** -0.5 if isinstance(head_dim, int) else lax.rsqrt(head_dim.astype(logits.dtype)))
    return (jax.nn.softmax(logits if bias is None else logits + bias).astype(q.dtype) @ v).swapaxes(-3, -2)


def drop_path(key: jax.Array, rate: float, depth: int, batch: int, branches: int = 2) -> jax.Array:
    """Stochastic depth's factors (depth, branches, batch): 0 where a residual branch is dropped, else 1 / keep.

    The rate grows linearly with the absolute index of the block, from 0 to `rate`.
    """
    keep = 1 - jnp.linspace(0, rate, depth)[:, None, None]
    return jax.random.bernoulli(key, keep, (depth, branches, batch)) / keep


def init_blocks(key: jax.Array, init: Callable, depth: int, uniform: bool) -> Any:
    """Blocks' parameters `init(i, key)`: of equal blocks one tree with a leading axis (depth, …), else a list of trees."""
    keys = jax.random.split(key, depth)
    return jax.vmap(functools.partial(init, 0))(keys) if uniform else [init(i, keys[i]) for i in range(depth)]


def join_blocks(blocks: list[Any]) -> Any:
    """A list of blocks in the form that `init_blocks` has for them."""
    uniform = len({tuple(leaf.shape for leaf in jax.tree.leaves(block)) for block in blocks}) == 1
    return jax.tree.map(lambda *leaves: np.stack(leaves), *blocks) if uniform else blocks


def split_blocks(blocks: Any) -> list[Any]:
    """The parameters of each block, whichever form they have."""
    if isinstance(blocks, list):
        return blocks
    return [jax.tree.map(lambda leaf: leaf[i], blocks) for i in range(jax.tree.leaves(blocks)[0].shape[0])]


def blocks(module: nn.Module, make: Callable[..., nn.Module], x: jax.Array, depth: int | jax.Array, keep: jax.Array | None,
           shared: Sequence[tuple[int, Any]], own: Sequence[tuple[Sequence[int], Any]]) -> jax.Array:
    """`x` through the first `depth` of a stack of elastic blocks, whose parameters are `module`'s parameter 'blocks'.

    `shared` and `own` pair the sizes of the widest architecture with those to run: of all blocks, and block by block. Block i
    is `make(*own sizes)(x, keep, *shared sizes, *own sizes)`, its last axis `shared[0]` wide. `run_blocks` says the rest.
    """
    sizes = list(zip(*(widest for widest, _ in own)))
    made = [make(*each) for each in sizes]
    uniform = all(each == made[0] for each in made)

    def init(i: int, key: jax.Array):
        one = jnp.zeros((1, *x.shape[1:-1], shared[0][0]), x.dtype)
        return made[i].init(key, one, None, *(widest for widest, _ in shared), *sizes[i])['params']

    def block(i: int, parameters, x, keep, *here):
        return made[i].apply({'params': parameters}, x, keep, *(size for _, size in shared), *here)
    parameters = module.param('blocks', init_blocks, init, len(made), uniform)
    return run_blocks(block, parameters, x, depth, keep, *(size for _, size in own))


def run_blocks(block: Callable, blocks: Any, x: jax.Array, depth: int | jax.Array, keep: jax.Array | None,
               *sizes: Any) -> jax.Array:
    """`x` through the first `depth` blocks: `x = block(i, parameters, x, keep, *sizes of this block)`.

    `x` may be a tree. `keep` holds `drop_path`'s factors, and whatever else a family has for each block. A depth of int unrolls
    the blocks with the ints of the tuples in `sizes`. A traced depth scans over the stacked parameters; then a size is an array
    (depth,), whose entries mask, or a `Choice` with an index (depth,), between whose values a switch goes, past all of them
    beyond the depth.
    """
    if isinstance(depth, int):
        for i, parameters in enumerate(split_blocks(blocks)[:depth]):
            x = block(i, parameters, x, jax.tree.map(lambda leaf: leaf[i], keep), *(size[i] for size in sizes))
        return x
    chosen = [isinstance(size, Choice) for size in sizes]

    def body(x, inputs):
        i, parameters, factors, here = inputs
        if not any(chosen):
            return jax.tree.map(functools.partial(jnp.where, i < depth), block(0, parameters, x, factors, *here), x), None
        choices = [size for size, choice in zip(here, chosen) if choice]
        index, branches = 0, [lambda parameters, x, factors, *_: x]
        for size in choices:
            index = index * len(size.values) + size.index
        for values in itertools.product(*(size.values for size in choices)):
            branches.append(functools.partial(_with_sizes, block, chosen, values))
        arrays = [size for size, choice in zip(here, chosen) if not choice]
        return switch(jnp.where(i < depth, 1 + index, 0), branches, parameters, x, factors, *arrays), None

    length = jax.tree.leaves(blocks)[0].shape[0]
    return lax.scan(body, x, (jnp.arange(length), blocks, keep, sizes))[0]


def _with_sizes(block, chosen, values, parameters, x, factors, *arrays):
    values, arrays = iter(values), iter(arrays)
    return block(0, parameters, x, factors, *(next(values) if choice else next(arrays) for choice in chosen))


def switch(index: jax.Array, branches: Sequence[Callable], *operands: Any) -> jax.Array:
    """`lax.switch` whose backward pass keeps the residuals of the branch taken, and no other's.

    Differentiating `lax.switch` saves the residuals of every branch, and rematerialising all of a branch costs a third more
    work. Here each branch saves what it names SAVED, padded to the largest branch, and recomputes the cheap rest.
    """
    policy = jax.checkpoint_policies.save_only_these_names(SAVED)
    pullbacks: dict[int, Callable] = {}

    def residuals(i: int, *operands):
        """The output of branch i and its residuals other than the operands; remembers how to go back from them."""
        out, pullback = jax.vjp(jax.checkpoint(branches[i], policy=policy), *operands)
        leaves, tree = jax.tree.flatten(pullback)
        known = {id(leaf): n for n, leaf in enumerate(jax.tree.leaves(operands))}
        places = [known.get(id(leaf)) for leaf in leaves]
        saved = [leaf for leaf, place in zip(leaves, places) if place is None]

        def restore(saved, operands):
            flat, rest = jax.tree.leaves(operands), iter(saved)
            return tree.unflatten([next(rest) if place is None else flat[place] for place in places])
        pullbacks[i] = restore
        return out, saved

    @jax.custom_vjp
    def call(index, *operands):
        return lax.switch(index, branches, *operands)

    def forward(index, *operands):
        shapes = [jax.eval_shape(functools.partial(residuals, i), *operands)[1] for i in range(len(branches))]
        slots = [[s[k].shape for s in shapes if len(s) > k] for k in range(max(map(len, shapes)))]
        largest = [tuple(map(max, zip(*slot))) for slot in slots]
        dtypes = [max(shapes, key=len)[k].dtype for k in range(len(largest))]

        def padded(i, *operands):
            out, saved = residuals(i, *operands)
            saved += [jnp.zeros((0,) * len(shape), dtype) for shape, dtype in zip(largest, dtypes)][len(saved):]
            return out, [jnp.pad(leaf, [(0, to - n) for n, to in zip(leaf.shape, shape)])
                         for leaf, shape in zip(saved, largest)]
        out, saved = lax.switch(index, [functools.partial(padded, i) for i in range(len(branches))], *operands)
        return out, (index, saved, operands, Fixed(tuple(tuple(leaf.shape for leaf in s) for s in shapes)))

    def backward(kept, cotangent):
        index, saved, operands, shapes = kept

        def back(i, saved, operands, cotangent):
            leaves = [leaf[tuple(map(slice, shape))] for leaf, shape in zip(saved, shapes.value[i])]
            return pullbacks[i](leaves, operands)(cotangent)
        gradients = lax.switch(index, [functools.partial(back, i) for i in range(len(branches))], saved, operands, cotangent)
        return (None, *gradients)

    call.defvjp(forward, backward)
    return call(index, *operands)


def fixed(sizes: Any) -> Fixed:
    """Sizes of ints, for a static model."""
    return Fixed(sizes)


def _each(leaf: Callable, sizes: Any, *others: Any) -> Any:
    """Sizes of the same form, of `leaf(name, size, *the others' sizes)` for every int and every tuple of one per block.

    Sizes are a NamedTuple, in which a tuple of NamedTuples holds those of each stage.
    """
    def stage(size: Any) -> bool:
        return isinstance(size, tuple) and hasattr(size[0], '_fields')
    return type(sizes)(*(tuple(_each(leaf, *each) for each in zip(*values)) if stage(values[0]) else leaf(name, *values)
                         for name, *values in zip(sizes._fields, sizes, *others)))


def masked(sizes: Any, widest: Any) -> Any:
    """Sizes as int32 arrays, per-block ones padded to the widest architecture's depth: to be traced."""
    def pad(_, size, most):
        return np.int32(size) if isinstance(size, int) else np.pad(np.int32(size), (0, len(most) - len(size)), 'edge')
    return _each(pad, sizes, widest)


def options(sizes: Iterable[Any]) -> Any:
    """The different values of every per-block size, ascending: between them the blocks of a sliced step switch."""
    def different(_, *values):
        return None if isinstance(values[0], int) else tuple(sorted(set(itertools.chain(*values))))
    return _each(different, *sizes)


def switched(sizes: Any, options: Any, widest: Any) -> Any:
    """Sizes for a sliced step: fixed where a step is compiled anew, a `Choice` of `options` per block, a traced `depth`."""
    def traced(name, size, values, most):
        if isinstance(size, int):
            return np.int32(size) if name == 'depth' else Fixed(size)
        index = np.int32([values.index(value) for value in size])
        return Choice(np.pad(index, (0, len(most) - len(size))), values)
    return _each(traced, sizes, options, widest)


def resolve(sizes: Any) -> Any:
    """Sizes as a model reads them: ints again where they were fixed."""
    if isinstance(sizes, Fixed):
        return sizes.value
    return _each(lambda _, size: size.value if isinstance(size, Fixed) else size, sizes)


def inherit(source: Any, target: Any) -> Any:
    """The target's weights with the prefix that it shares with the source: extracts a subnet, and grows a supernet.

    Both are parameters of one family; blocks, and weights between blocks, that only one of them has are left as they are.
    """
    if isinstance(target, dict) and 'blocks' in target:
        blocks = [inherit(ours, theirs) for ours, theirs in
                  zip(split_blocks(source['blocks']), split_blocks(target['blocks']))]
        blocks += split_blocks(target['blocks'])[len(blocks):]
        rest = {name: inherit(source[name], leaf) if name in source else leaf
                for name, leaf in target.items() if name != 'blocks'}
        return rest | {'blocks': join_blocks(blocks)}
    if isinstance(target, dict):
        return {name: inherit(source[name], leaf) for name, leaf in target.items()}
    shared = tuple(slice(0, min(a, b)) for a, b in zip(source.shape, target.shape, strict=True))
    result = np.array(target)
    result[shared] = source[shared]
    return result
