"""The space to train first: the one given where it fits the budget, else the nearest one that does."""

import itertools
from collections.abc import Sequence

import numpy as np

from s4jax.errors import UsageError
from s4jax.search.budget import Budget
from s4jax.search.neighbours import Size, _limits, _sums, _tables
from s4jax.search.space import Gamma, SearchSpace


def start(space: SearchSpace, budget: Budget, size: Size, policy: str) -> tuple[SearchSpace, Gamma]:
    """The space to train first and how many moves it lies from the one given, before any training.

    Where the largest model of `space` does not fit: 'project' takes the nearest space that fits (fewest moves of Eq. 2,
    then the smallest sum of |gamma|, then the largest size, then lexicographic), 'move' keeps the space where a first
    legal move exists, 'error' refuses.
    """
    still = (0,) * len(space.dimensions)
    excess = budget.excess(size(space), strict=True)
    if excess is None:
        return space, still
    if policy == 'error':
        raise UsageError(
            f"the space's largest model does not fit: {excess}; lower the space's upper bounds, raise the "
            "budget, or set explore.infeasible_start to 'project' or 'move'"
        )
    lowest = _lowest(space)
    if not budget.fits(size(space.moved(lowest)), strict=True):
        raise UsageError(
            'no space that can be reached fits the budget: the smallest has a largest model of '
            f'{budget.beside(size(space.moved(lowest)))}; raise the budget, or lower the floors or the '
            'width of the space'
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


def _lowest(space: SearchSpace) -> Gamma:
    """As many moves down as each floor allows."""
    return tuple(
        -next(k for k in itertools.count() if d.obstacle(-k - 1)) for d in space.dimensions
    )


def _nearest(space: SearchSpace, budget: Budget, size: Size, lowest: Gamma) -> Gamma:
    """The nearest space that fits: never above in any dimension, as costs must not fall where one grows.

    They must also be sums over the stages, as in `search`. Directions are summed up stage by stage, from the lowest
    corner within the radius; one is dropped when the later stages cannot bring it to the wanted height in the budget.
    """
    n, limits = len(lowest), _limits(budget)

    def fits(gamma: Gamma) -> bool:
        return budget.fits(size(space.moved(gamma)), strict=True)

    def row(gamma: Gamma) -> np.ndarray:
        return np.array(
            [*gamma, sum(gamma) - sum(corner), *budget.limited(size(space.moved(gamma)))], float
        )

    corner = next(
        filter(fits, (tuple(max(-radius, k) for k in lowest) for radius in itertools.count(1)))
    )
    options = [
        [g for g in range(corner[k], 1) if fits((*corner[:k], g, *corner[k + 1 :]))]
        for k in range(n)
    ]
    splits = []
    for tables in _tables(space, options, corner, row):
        least = [np.where(np.arange(1 - sum(corner)) == 0, 0, np.full(limits.shape, np.inf))]
        for table in reversed(tables):
            least.insert(0, _least(table[n:], least[0]))
        splits.append((np.all(least[0] < limits, 0), tables, least[1:]))
    for height in reversed(range(1 - sum(corner))):
        rows = [
            _reaching(height, tables, least, limits)
            for reachable, tables, least in splits
            if reachable[height]
        ]
        legal = (
            [(-cost, gamma) for *gamma, _, cost in np.concatenate(rows, 1)[: n + 2].T]
            if rows
            else []
        )
        if legal:
            return tuple(map(int, min(legal)[1]))


def _least(table: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The least of each cost at every height (costs × heights) by a column of `table` and the `later` tables' least."""
    result = np.full_like(later, np.inf)
    for height in np.unique(table[0]).astype(int):
        costs = table[1:, table[0] == height].min(1, keepdims=True)
        result[:, height:] = np.minimum(
            result[:, height:], costs + later[:, : later.shape[1] - height]
        )
    return result


def _reaching(
    height: int, tables: Sequence[np.ndarray], least: Sequence[np.ndarray], limits: np.ndarray
) -> np.ndarray:
    """The sums of one column of each table that have the height and fit; of equal costs the lexicographically first."""
    rows = np.zeros((len(tables[0]), 1))
    n = len(rows) - len(limits) - 1
    for table, later in zip(tables, least):
        rows = _sums(rows, table)
        left = (height - rows[n]).astype(int)
        rows = rows[:, (left >= 0) & np.all(rows[n + 1 :] + later[:, left] < limits, 0)]
        rows = rows[:, np.lexsort([*rows[:n][::-1], *rows[n:]])]
        rows = rows[:, np.any(np.diff(rows[n:], axis=1, prepend=-1) != 0, 0)]
    return rows
