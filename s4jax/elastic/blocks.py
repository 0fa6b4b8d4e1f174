"""Stacks of elastic blocks: unrolled, scanned, switched; and stochastic depth."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.elastic.sizes import Choice
from s4jax.elastic.switch import switch


def drop_path(key: jax.Array, rate: float, depth: int, batch: int, branches: int = 2) -> jax.Array:
    """Stochastic depth's factors (depth, branches, batch): 0 where a residual branch is dropped, else 1 / keep.

    The rate grows linearly with the absolute index of the block, from 0 to `rate`.
    """
    keep = 1 - jnp.linspace(0, rate, depth)[:, None, None]
    return jax.random.bernoulli(key, keep, (depth, branches, batch)) / keep


def init_blocks(key: jax.Array, init: Callable, depth: int, uniform: bool) -> Any:
    """Blocks' parameters `init(i, key)`: of equal blocks one tree with a leading axis (depth, …), else a list of trees."""
    keys = jax.random.split(key, depth)
    return (
        jax.vmap(functools.partial(init, 0))(keys)
        if uniform
        else [init(i, keys[i]) for i in range(depth)]
    )


def join_blocks(blocks: list[Any]) -> Any:
    """A list of blocks in the form that `init_blocks` has for them."""
    uniform = len({tuple(leaf.shape for leaf in jax.tree.leaves(block)) for block in blocks}) == 1
    return jax.tree.map(lambda *leaves: np.stack(leaves), *blocks) if uniform else blocks


def split_blocks(blocks: Any) -> list[Any]:
    """The parameters of each block, whichever form they have."""
    if isinstance(blocks, list):
        return blocks
    return [
        jax.tree.map(lambda leaf: leaf[i], blocks)
        for i in range(jax.tree.leaves(blocks)[0].shape[0])
    ]


def blocks(
    module: nn.Module,
    make: Callable[..., nn.Module],
    x: jax.Array,
    depth: int | jax.Array,
    keep: jax.Array | None,
    shared: Sequence[tuple[int, Any]],
    own: Sequence[tuple[Sequence[int], Any]],
) -> jax.Array:
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


def run_blocks(
    block: Callable,
    blocks: Any,
    x: jax.Array,
    depth: int | jax.Array,
    keep: jax.Array | None,
    *sizes: Any,
) -> jax.Array:
    """`x` through the first `depth` blocks: `x = block(i, parameters, x, keep, *sizes of this block)`.

    `x` may be a tree. `keep` holds `drop_path`'s factors, and whatever else a family has for each block. A depth of int unrolls
    the blocks with the ints of the tuples in `sizes`. A traced depth scans over the stacked parameters; then a size is an array
    (depth,), whose entries mask, or a `Choice` with an index (depth,), between whose values a switch goes, past all of them
    beyond the depth.
    """
    if isinstance(depth, int):
        for i, parameters in enumerate(split_blocks(blocks)[:depth]):
            x = block(
                i,
                parameters,
                x,
                jax.tree.map(lambda leaf: leaf[i], keep),
                *(size[i] for size in sizes),
            )
        return x
    chosen = [isinstance(size, Choice) for size in sizes]

    def body(x, inputs):
        i, parameters, factors, here = inputs
        if not any(chosen):
            return jax.tree.map(
                functools.partial(jnp.where, i < depth), block(0, parameters, x, factors, *here), x
            ), None
        choices = [size for size, choice in zip(here, chosen) if choice]
        index, branches = 0, [lambda parameters, x, factors, *_: x]
        for size in choices:
            index = index * len(size.values) + size.index
        for values in itertools.product(*(size.values for size in choices)):
            branches.append(functools.partial(_with_sizes, block, chosen, values))
        arrays = [size for size, choice in zip(here, chosen) if not choice]
        return switch(
            jnp.where(i < depth, 1 + index, 0), branches, parameters, x, factors, *arrays
        ), None

    length = jax.tree.leaves(blocks)[0].shape[0]
    return lax.scan(body, x, (jnp.arange(length), blocks, keep, sizes))[0]


def _with_sizes(block, chosen, values, parameters, x, factors, *arrays):
    values, arrays = iter(values), iter(arrays)
    return block(
        0, parameters, x, factors, *(next(values) if choice else next(arrays) for choice in chosen)
    )
