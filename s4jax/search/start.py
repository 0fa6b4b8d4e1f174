"""The space to train first: the one given where it fits the budget, else the nearest that does."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from s4jax.errors import UsageError
from s4jax.search import additive
from s4jax.search.budget import Budget
from s4jax.search.neighbours import Size
from s4jax.search.space import Choices, Gamma, SearchSpace

Policy = Literal['project', 'move', 'error']  # where the largest model of the space does not fit


def start(
    space: SearchSpace, budget: Budget, size: Size, policy: Policy
) -> tuple[SearchSpace, Gamma]:
    """The space to train first and the moves to it from the one given, before any training.

    Where the largest model of `space` does not fit: 'project' takes the nearest space that fits
    (fewest moves of Eq. 2, then the smallest sum of |gamma|, then the largest size, then
    lexicographic), 'move' keeps the space where a first legal move exists, 'error' refuses.
    """
    still = (0,) * len(space.dimensions)
    excess = budget.excess(size(space), strict=True)
    if excess is None:
        return space, still
    if policy == 'error':
        raise UsageError(
            f"the space's largest model does not fit: {excess}; lower the space's upper bounds, "
            "raise the budget, or set explore.infeasible_start to 'project' or 'move'"
        )
    lowest = _lowest(space)
    least = size(space.moved(lowest))
    if not budget.fits(least, strict=True):
        raise UsageError(
            'no space within the floors fits the budget: the smallest has a largest model of '
            f'{budget.beside(least)}; raise the budget, or lower the floors or the width of the '
            'space'
        )
    if policy == 'move':
        down = tuple(max(steps, -1) for steps in lowest)
        if not any(down) or not budget.fits(size(space.moved(down)), strict=True):
            raise UsageError(
                f"explore.infeasible_start='move': no neighbour of the space fits ({excess}); use "
                "'project'"
            )
        return space, still
    gamma = _nearest(space, budget, size, lowest)
    return space.moved(gamma), gamma


def begin(
    space: SearchSpace, budget: Budget, cost: Callable[[Choices], Mapping[str, float]]
) -> None:
    """Raises where no architecture of the space fits, for methods that search it as it is given.

    No cost falls where a dimension grows, so the smallest architecture tells.
    """
    least = cost(space.smallest())
    if not budget.fits(least):
        raise UsageError(
            'no architecture of config.space fits the budget: the smallest has '
            f'{budget.beside(least)}; raise the budget, or lower the bounds of the space'
        )


def _lowest(space: SearchSpace) -> Gamma:
    """As many moves down as each floor allows."""
    return tuple(
        -next(k for k in itertools.count() if d.obstacle(-k - 1)) for d in space.dimensions
    )


def _nearest(space: SearchSpace, budget: Budget, size: Size, lowest: Gamma) -> Gamma:
    """The nearest space that fits.

    It is never above the given one in any dimension: costs must not fall where a dimension grows.
    They must also be sums over the stages, as in `search`. The *corner* is the lowest direction
    within the radius, that is, the number of moves of Eq. 2. A direction's *height* is the sum of
    its moves above the corner: the greatest height that fits wins.
    """
    n = len(lowest)

    def fits(gamma: Gamma) -> bool:
        return budget.fits(size(space.moved(gamma)), strict=True)

    corners = (tuple(max(-radius, k) for k in lowest) for radius in itertools.count(1))
    corner = next(filter(fits, corners))
    top = -sum(corner)  # the height of no move

    def row(gamma: Gamma) -> np.ndarray:
        costs = budget.limited(size(space.moved(gamma)))
        return np.array([*gamma, sum(gamma) + top, *costs], float)

    options = [
        [g for g in range(corner[k], 1) if fits((*corner[:k], g, *corner[k + 1 :]))]
        for k in range(n)
    ]
    limits = additive.limits(budget)
    splits = []
    for tables in additive.stage_tables(space, options, corner, row):
        least = _least_costs([table[n:] for table in tables], top, len(limits))
        splits.append((np.all(least[0] < limits, 0), tables, least[1:]))
    for height in range(top, 0, -1):
        found = [
            _of_height(height, tables, least, limits)
            for possible, tables, least in splits
            if possible[height]
        ]
        if sum(rows.shape[1] for rows in found):
            # the largest first cost wins, then the lexicographically first direction
            columns = np.concatenate(found, 1)[: n + 2].T
            best = min((-cost, gamma) for *gamma, _, cost in columns)
            return tuple(map(int, best[1]))
    return corner


def _least_costs(tables: Sequence[np.ndarray], top: int, limited: int) -> list[np.ndarray]:
    """For each table, and for none: the least of each cost (costs, heights 0…top) from there on.

    The first row of a table is a height, the others are costs; the least is that of the sums of one
    column of this table and of each later one.
    """
    none = np.full((limited, top + 1), np.inf)
    none[:, 0] = 0
    least = [none]
    for table in reversed(tables):
        least.insert(0, _least(table, least[0]))
    return least


def _least(table: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The least of each cost (costs, heights) by a column of `table` and the later tables."""
    result = np.full_like(later, np.inf)
    for height in np.unique(table[0]).astype(int):
        costs = table[1:, table[0] == height].min(1, keepdims=True)
        above = costs + later[:, : later.shape[1] - height]
        result[:, height:] = np.minimum(result[:, height:], above)
    return result


def _of_height(
    height: int, tables: Sequence[np.ndarray], least: Sequence[np.ndarray], limits: np.ndarray
) -> np.ndarray:
    """The rows (row length, directions) of the directions of one height that fit.

    A partial sum is dropped where the later tables cannot bring it to the height within the limits;
    of equal heights and costs the lexicographically first direction is kept.
    """
    rows = np.zeros((len(tables[0]), 1))
    n = len(rows) - len(limits) - 1
    for table, later in zip(tables, least):
        rows = additive.sums(rows, table)
        left = (height - rows[n]).astype(int)
        rows = rows[:, (left >= 0) & np.all(rows[n + 1 :] + later[:, left] < limits, 0)]
        rows = rows[:, np.lexsort([*rows[:n][::-1], *rows[n:]])]
        rows = rows[:, np.any(np.diff(rows[n:], axis=1, prepend=-1) != 0, 0)]
    return rows
