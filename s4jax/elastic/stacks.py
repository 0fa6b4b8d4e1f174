"""Stacks of elastic blocks, unrolled or scanned, and stochastic depth."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.elastic.layers import parameter, recomputed
from s4jax.elastic.place import here
from s4jax.elastic.sizes import Choice, PerBlock, Size, stacked
from s4jax.elastic.switching import switch


class Part(NamedTuple):
    """The key of a batch that is a part of a larger one: its rows part, part + parts, …."""

    key: jax.Array
    part: jax.Array | int
    parts: int


DropKey = jax.Array | Part  # the key of stochastic depth


def drop_path(key: DropKey, rate: float, depth: int, batch: int, branches: int = 2) -> jax.Array:
    """Stochastic depth's factors (depth, branches, batch): 0 for a dropped branch, else 1 / keep.

    The rate grows linearly with the absolute index of the block, from 0 to `rate`. A `Part` gets
    its rows of what is drawn for the whole batch.
    """
    key, part, parts = key if isinstance(key, Part) else Part(key, 0, 1)
    keep = 1 - jnp.linspace(0, rate, depth)[:, None, None]
    drawn = jax.random.bernoulli(key, keep, (depth, branches, batch * parts)) / keep
    return drawn.reshape(depth, branches, batch, parts)[..., part]


def init_blocks(
    key: jax.Array, init: Callable[[int, jax.Array], Any], depth: int, uniform: bool
) -> Any:
    """The parameters of a stack, those of block i being `init(i, key)`.

    Blocks of equal shapes (`uniform`) are one tree with a leading axis (depth, …), others a list of
    trees.
    """
    keys = jax.random.split(key, depth)
    if uniform:
        return jax.vmap(functools.partial(init, 0))(keys)
    return [init(i, keys[i]) for i in range(depth)]


def join_blocks(blocks: list[Any]) -> Any:
    """A list of blocks' parameters in the form that `init_blocks` gives them."""
    uniform = len({tuple(leaf.shape for leaf in jax.tree.leaves(block)) for block in blocks}) == 1
    return stacked(blocks) if uniform else blocks


def split_blocks(blocks: Any) -> list[Any]:
    """The parameters of a stack as a list with one tree per block."""
    if isinstance(blocks, list):
        return blocks
    return [_entry(blocks, i) for i in range(jax.tree.leaves(blocks)[0].shape[0])]


def blocks(
    module: nn.Module,
    make: Callable[..., nn.Module],
    x: jax.Array,
    depth: Size,
    keep: jax.Array | None,
    shared: Sequence[tuple[int, Size]],
    own: Sequence[tuple[Sequence[int] | np.ndarray, PerBlock]],
) -> jax.Array:
    """`x` (batch, …, d) through the first `depth` blocks of a stack -> the same shape.

    Sizes come in pairs (those of the widest architecture, those to run): `shared` by all blocks,
    and the `own` sizes of every block. Block i is
    `make(*its widest own sizes)(x, keep, *shared sizes, *its own sizes)`; `shared[0]` is the width
    of `x`, `keep` (blocks, branches, batch) holds `drop_path`'s factors. The parameters are the
    parameter 'blocks' of `module`. `run_blocks` says how the blocks are run.
    """
    widest = list(zip(*(sizes for sizes, _ in own)))  # of each block
    made = [make(*sizes) for sizes in widest]
    uniform = all(each == made[0] for each in made)

    def init(i: int, key: jax.Array) -> Any:
        one = jnp.zeros((1, *x.shape[1:-1], shared[0][0]), x.dtype)
        return made[i].init(key, one, None, *(size for size, _ in shared), *widest[i])['params']

    def block(i: int, parameters: Any, x: jax.Array, keep: Any, *here: Size) -> Any:
        return made[i].apply({'params': parameters}, x, keep, *(size for _, size in shared), *here)

    parameters = parameter(module, 'blocks', init_blocks, init, len(made), uniform)
    return run_blocks(block, parameters, x, depth, keep, *(sizes for _, sizes in own))


def run_blocks(
    block: Callable[..., Any], blocks: Any, x: Any, depth: Size, given: Any, *sizes: PerBlock
) -> Any:
    """`x` through the first `depth` blocks: `x = block(i, parameters, x, given, *sizes)`.

    `x` is an array or a tree. `given` is a tree of arrays (blocks, …), of which every block gets
    its own entry, as it does of `sizes`.

    A depth of int unrolls the blocks, with the ints of the tuples in `sizes`. A traced depth scans
    over the stacked parameters of equal blocks. Then `sizes` are arrays (blocks,), whose entries
    mask, or a `Choice` with an index (blocks,), which switches between its values; blocks beyond
    the depth return `x` as it is.
    """
    if isinstance(depth, int):
        for i, parameters in enumerate(split_blocks(blocks)[:depth]):
            x = block(i, parameters, x, _entry(given, i), *(_static(size, i) for size in sizes))
        return x
    run = _switched if any(isinstance(size, Choice) for size in sizes) else _masked

    def body(x: Any, inputs: Any) -> tuple[Any, None]:
        i, *operands = inputs
        return run(functools.partial(block, 0), i < depth, x, *operands), None

    length = jax.tree.leaves(blocks)[0].shape[0]
    return lax.scan(body, x, (jnp.arange(length), blocks, given, sizes))[0]


def _entry(tree: Any, i: int) -> Any:
    """Entry i of every array of a tree."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _static(size: PerBlock, i: int) -> Any:
    """The size of block i in an unrolled stack."""
    if isinstance(size, Choice):
        raise TypeError('a Choice switches in a scan alone: trace the depth, too')
    return size[i]


def _masked(
    block: Callable[..., Any], inside: jax.Array, x: Any, parameters: Any, given: Any, sizes: Any
) -> Any:
    """A block with traced sizes; its result counts where the block lies `inside` the depth.

    Its backward pass keeps what is named SAVED and computes the rest again, but on a CPU, where
    memory is large and computing slow.
    """
    if here().platform != 'cpu':
        block = recomputed(block)
    y = block(parameters, x, given, *sizes)
    return jax.tree.map(functools.partial(jnp.where, inside), y, x)


def _switched(
    block: Callable[..., Any], inside: jax.Array, x: Any, parameters: Any, given: Any, sizes: Any
) -> Any:
    """A block with one branch for every combination of the values of its choices, and branch 0 for
    a block beyond the depth. Sizes that are no choice stay traced."""
    choices = [size for size in sizes if isinstance(size, Choice)]
    arrays = [size for size in sizes if not isinstance(size, Choice)]

    def branch(values: tuple[int, ...], parameters: Any, x: Any, given: Any, *arrays: Any) -> Any:
        chosen, traced = iter(values), iter(arrays)
        here = [next(chosen) if isinstance(size, Choice) else next(traced) for size in sizes]
        return block(parameters, x, given, *here)

    combinations = itertools.product(*(choice.values for choice in choices))
    branches: list[Callable[..., Any]] = [lambda parameters, x, *_: x]
    branches += [functools.partial(branch, values) for values in combinations]
    index: Any = 0  # the indices are the digits of the combination's number
    for choice in choices:
        index = index * len(choice.values) + choice.index
    return switch(jnp.where(inside, 1 + index, 0), branches, parameters, x, given, *arrays)
