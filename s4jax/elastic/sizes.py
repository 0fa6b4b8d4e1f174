"""The sizes of an architecture as a model takes them.

A family's sizes are a NamedTuple: ints for the whole model, tuples of ints with one size per block,
and in hierarchical families a tuple of such NamedTuples, one per stage. `fixed`, `masked` and
`switched` turn them into the argument of a compiled step, `resolve` is how the model reads it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed:
    """A value that `jit` must not trace: a size, or a whole NamedTuple of sizes."""

    value: Any = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Choice:
    """A size that a traced index picks from static values: the blocks of a scan switch between
    them. `index` is (blocks,) int32, or () inside the scan."""

    index: jax.Array | np.ndarray
    values: tuple[int, ...] = dataclasses.field(metadata={'static': True})


Size = int | jax.Array  # of one axis: an int slices, a traced integer masks
PerBlock = tuple[int, ...] | jax.Array | np.ndarray | Choice  # one size per block: arrays (blocks,)
S = TypeVar('S', bound=NamedTuple)


def fixed(sizes: NamedTuple) -> Fixed:
    """Sizes of ints, for a step that is compiled for this architecture alone."""
    return Fixed(sizes)


def _each(leaf: Callable[..., Any], sizes: S, *others: Any) -> S:
    """A NamedTuple like `sizes`: every int, and every tuple of one per block, becomes
    `leaf(field, size, *the others' sizes)`."""

    def mapped(field: str, size: Any, *same: Any) -> Any:
        if isinstance(size, tuple) and hasattr(size[0], '_fields'):  # one NamedTuple per stage
            return tuple(_each(leaf, *each) for each in zip(size, *same))
        return leaf(field, size, *same)

    return type(sizes)(*map(mapped, sizes._fields, sizes, *others))


def masked(sizes: S, widest: S) -> S:
    """Sizes for a masked step: int32 arrays, all of them traced.

    Those per block are padded to the depth of the widest architecture.
    """

    def traced(_: str, size: int | Sequence[int], most: Sequence[int]) -> np.ndarray | np.int32:
        if isinstance(size, int):
            return np.int32(size)
        return np.pad(np.array(size, np.int32), (0, len(most) - len(size)), 'edge')

    return _each(traced, sizes, widest)


def options(sizes: Iterable[S]) -> S:
    """The different values of every per-block size in ascending order, and None for other sizes.

    Between these values the blocks of a sliced step switch.
    """

    def different(_: str, *values: Any) -> tuple[int, ...] | None:
        return None if isinstance(values[0], int) else tuple(sorted(set(itertools.chain(*values))))

    first, *others = sizes
    return _each(different, first, *others)


def switched(sizes: S, options: S, widest: S) -> S:
    """Sizes for a sliced step: a `Choice` of `options` in every block, the depth traced.

    Sizes of the whole model are fixed: the step is compiled anew for each of their values.
    """

    def traced(field: str, size: int | Sequence[int], values: Any, most: Sequence[int]) -> Any:
        if isinstance(size, int):
            return np.int32(size) if field == 'depth' else Fixed(size)
        index = np.array([values.index(value) for value in size], np.int32)
        return Choice(np.pad(index, (0, len(most) - len(size))), values)

    return _each(traced, sizes, options, widest)


def stacked(trees: Iterable[Any]) -> Any:
    """Trees of equal structure, such as sizes of several subnets, as one with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def resolve(sizes: Any) -> Any:
    """Sizes as a model reads them: ints again where they were fixed."""
    if isinstance(sizes, Fixed):
        return sizes.value
    return _each(lambda _, size: size.value if isinstance(size, Fixed) else size, sizes)
