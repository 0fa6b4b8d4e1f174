"""The largest architecture of a space that fits a budget: what no search is needed for."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from s4jax.search.budget import Budget, Costs
from s4jax.search.space import Architecture, Choices, Dimension, SearchSpace

Cost = Callable[[Choices], Costs]
MEASURE = 'params'  # what the largest has most of


class Group(NamedTuple):
    """The blocks of one stage in one per-block dimension.

    `start` is where they stand among the dimension's blocks. Row i of `counts` (options, values)
    says how many of them have each value; `costs` (options, costs) is what that adds to the costs
    of the lowest values, and `uneven` (options,) how far the values lie apart, in choices.
    """

    dimension: Dimension
    start: int
    counts: np.ndarray
    costs: np.ndarray
    uneven: np.ndarray


def largest(
    space: SearchSpace,
    budget: Budget,
    cost: Callable[[Architecture], Costs],
    architecture: Callable[[Choices], Architecture],
) -> Choices | None:
    """The choices of most parameters within the budget; None where no architecture fits.

    Of equals the most even one: the least sum, over stages and per-block dimensions, of the
    distance between the highest and the lowest choice; then the first one in the order of choices.
    What a block costs may depend on the dimensions of the whole model and on its stage, not on
    other blocks: so it is exact without a list of all architectures.
    """
    price: Cost = lambda choices: cost(architecture(choices))
    found = [f for shared in _shared(space) if (f := _filled(space, budget, price, shared))]
    return min(found, key=lambda f: (-f[0], f[1]))[2] if found else None


def _shared(space: SearchSpace) -> Iterator[Choices]:
    """All choices of the dimensions that are not per block, with the lowest in every block."""
    scalars = [d for d in space.dimensions if not d.per_block]
    for values in itertools.product(*(d.values for d in scalars)):
        yield space.uniform('lower', dict(zip((d.name for d in scalars), values)))


def _filled(
    space: SearchSpace, budget: Budget, price: Cost, shared: Choices
) -> tuple[float, int, Choices] | None:
    """(parameters, unevenness, choices) of the largest with these shared choices, if any fits."""
    names = [MEASURE, *(name for name, _ in budget.limits)]
    limits = np.array([np.inf, *(limit for _, limit in budget.limits)])
    lowest = price(shared)
    if not budget.fits(lowest):
        return None
    sums = np.array([[lowest[name] for name in names]], float)
    uneven, history = np.zeros(1), []
    groups = list(_groups(space, price, shared, names))
    for group in groups:
        sums = (sums[:, None] + group.costs).reshape(-1, len(names))
        uneven = (uneven[:, None] + group.uneven).ravel()
        fitting = np.flatnonzero(np.all(sums <= limits, 1))
        # of equal costs the most even one, then the first
        order = fitting[np.lexsort([uneven[fitting], *sums[fitting].T])]
        first = np.any(np.diff(sums[order], axis=0, prepend=-1) != 0, 1)
        kept = order[first]
        history.append(np.divmod(kept, len(group.counts)))
        sums, uneven = sums[kept], uneven[kept]
    best = int(np.lexsort([uneven, -sums[:, 0]])[0])
    found = float(sums[best, 0]), int(uneven[best])
    return *found, _choices(shared, groups, history, best)


def _groups(space: SearchSpace, price: Cost, shared: Choices, names: list[str]) -> Iterator[Group]:
    lowest, layout = price(shared), space.layout(shared)
    for dimension in space.dimensions:
        if not dimension.per_block or len(dimension.values) == 1:
            continue
        start = 0
        for stage, blocks in enumerate(layout):
            if dimension.stage not in (None, stage):
                continue
            counts = np.array(list(_compositions(blocks, len(dimension.values))))
            added = np.array(
                [
                    [price(_with(shared, dimension, start, 1, value))[name] - lowest[name]
                     for name in names]
                    for value in dimension.values
                ]
            )  # fmt: skip
            used = counts > 0
            last = used.shape[1] - 1 - np.argmax(used[:, ::-1], 1)
            yield Group(dimension, start, counts, counts @ added, last - np.argmax(used, 1))
            start += blocks


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as an ordered sum of `parts` whole numbers of at least 0."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _with(choices: Choices, dimension: Dimension, start: int, count: int, value: Any) -> Choices:
    """`choices` with one value in `count` blocks of a dimension from `start` on."""
    values = list(choices[dimension.name])
    values[start : start + count] = [value] * count
    return choices | {dimension.name: tuple(values)}


def _choices(
    shared: Choices,
    groups: list[Group],
    history: list[tuple[np.ndarray, np.ndarray]],
    best: int,
) -> Choices:
    """The choices of a row of the last sums, from the options that led to it.

    A stage's higher values come in its last blocks.
    """
    result = dict(shared)
    for group, (before, option) in zip(reversed(groups), reversed(history)):
        start = group.start
        for value, count in zip(group.dimension.values, group.counts[option[best]]):
            result = _with(result, group.dimension, start, int(count), value)
            start += int(count)
        best = int(before[best])
    return result
