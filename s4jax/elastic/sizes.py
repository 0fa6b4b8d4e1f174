"""The sizes of an architecture as a model takes them: ints slice, traced integers mask, a `Choice` switches."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np


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


def fixed(sizes: Any) -> Fixed:
    """Sizes of ints, for a static model."""
    return Fixed(sizes)


def _each(leaf: Callable, sizes: Any, *others: Any) -> Any:
    """Sizes of the same form, of `leaf(name, size, *the others' sizes)` for every int and every tuple of one per block.

    Sizes are a NamedTuple, in which a tuple of NamedTuples holds those of each stage.
    """

    def stage(size: Any) -> bool:
        return isinstance(size, tuple) and hasattr(size[0], '_fields')

    return type(sizes)(
        *(
            tuple(_each(leaf, *each) for each in zip(*values))
            if stage(values[0])
            else leaf(name, *values)
            for name, *values in zip(sizes._fields, sizes, *others)
        )
    )


def masked(sizes: Any, widest: Any) -> Any:
    """Sizes as int32 arrays, per-block ones padded to the widest architecture's depth: to be traced."""

    def pad(_, size, most):
        return (
            np.int32(size)
            if isinstance(size, int)
            else np.pad(np.int32(size), (0, len(most) - len(size)), 'edge')
        )

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
