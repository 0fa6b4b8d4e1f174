"""The neighbours of a space: which of them fit the budget (Eq. 4), which is closest to a gradient (Eq. 6)."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.search.budget import Budget, Costs
from s4jax.search.space import Gamma, SearchSpace

Size = Callable[[SearchSpace], Costs]
TIE = 1e-12


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A neighbour: its direction, the cost of its largest model, its cosine to the gradient, why it was rejected."""

    gamma: Gamma
    costs: dict[str, float] | None
    cosine: float
    rejected: str | None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Candidate':
        return cls(tuple(row['gamma']), row['costs'], row['cosine'], row['rejected'])


def cosine(gamma: Gamma, z: Sequence[float]) -> float:
    """cos(gamma, z) of Eq. 6; 0 where z is 0."""
    scale = np.linalg.norm(gamma) * np.linalg.norm(z)
    return float(np.dot(gamma, z) / scale) if scale else 0.0


def candidates(
    space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]
) -> tuple[Candidate, ...]:
    """Every neighbour of the space (Eq. 2), legal (Eq. 4) or rejected with the reason."""
    return tuple(_candidate(space, budget, size, z, gamma) for gamma in space.directions())


def _candidate(
    space: SearchSpace, budget: Budget, size: Size, z: Sequence[float], gamma: Gamma
) -> Candidate:
    costs, rejected = None, space.obstacle(gamma)
    if rejected is None:
        costs = dict(size(space.moved(gamma)))
        rejected = budget.excess(costs, strict=True)
    return Candidate(gamma, costs, cosine(gamma, z), rejected)


def best(found: Sequence[Candidate]) -> Candidate | None:
    """The legal candidate of the highest cosine (Eq. 6); equal cosines (1e-12) are settled by lexicographic gamma."""
    legal = [c for c in found if c.rejected is None]
    top = max((c.cosine for c in legal), default=None)
    return min((c for c in legal if c.cosine >= top - TIE), key=lambda c: c.gamma, default=None)


def search(
    space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]
) -> tuple[Candidate, ...]:
    """The answer of `best(candidates(…))` for a space too large to list; before it the answer of no budget, if another.

    All 3^n - 1 directions are compared, but few of their spaces are costed. This assumes of every limited cost that,
    while the dimensions of no stage are held, it is a sum over the stages, as parameters and MACs are; it may well fall
    where a dimension grows. With m dimensions of no stage and k of each, 3^m · (2 + stages · 3^k) spaces are costed.
    """
    limits = _limits(budget)
    places = (
        3 ** np.arange(len(z))[::-1]
    )  # gamma · places counts lexicographically, from 0 for no move
    norm = float(np.linalg.norm(z)) or 1.0

    def row(gamma: Gamma) -> np.ndarray:
        costs = budget.limited(size(space.moved(gamma)))
        return np.array(
            [np.dot(gamma, places), np.dot(gamma, z), np.count_nonzero(gamma), *costs], float
        )

    movable = [[g for g in (-1, 0, 1) if d.obstacle(g) is None] for d in space.dimensions]
    parts = []  # the row of every direction is the column of one part plus one of the columns of the part's table
    for tables in _tables(space, movable, (0,) * len(z), row):
        half = (len(tables) + 1) // 2
        table = functools.reduce(_sums, tables[half:], np.zeros((len(tables[0]), 1)))
        parts += [(column, table) for column in functools.reduce(_sums, tables[:half]).T]

    def cosines(column: np.ndarray, table: np.ndarray, below: np.ndarray) -> np.ndarray:
        dot, count = column[1:3, None] + table[1:3]
        legal = (count > 0) & np.all(column[3:, None] + table[3:] < below, 0)
        return np.where(legal, dot / np.sqrt(np.maximum(count, 1)) / norm, -np.inf)

    def closest(below: np.ndarray) -> Gamma | None:
        tops = [cosines(*part, below).max() for part in parts]
        tied = max(tops) - TIE
        if tied == -np.inf:
            return None
        number = min(
            column[0] + table[0, cosines(column, table, below) >= tied].min()
            for (column, table), top in zip(parts, tops)
            if top >= tied
        )
        return tuple(int(digit) - 1 for digit in (int(number) + places.sum()) // places % 3)

    found = dict.fromkeys(filter(None, (closest(np.full_like(limits, np.inf)), closest(limits))))
    return tuple(_candidate(space, budget, size, z, gamma) for gamma in found)


def _tables(
    space: SearchSpace,
    options: Sequence[Sequence[int]],
    base: Gamma,
    row: Callable[[Gamma], np.ndarray],
) -> Iterator[list[np.ndarray]]:
    """The rows of all directions that `options` allow, `base` among them, as sums of one column of each table.

    For each choice of the dimensions of no stage: a table of one column, the row of that choice where the others are at
    `base`, and for each stage a table of what the choices of its dimensions add.
    """

    def directions(stage: int | None, gamma: Gamma) -> Iterator[Gamma]:
        return itertools.product(
            *(
                options[k] if dimension.stage == stage else (gamma[k],)
                for k, dimension in enumerate(space.dimensions)
            )
        )

    stages = sorted({dimension.stage for dimension in space.dimensions} - {None})
    for gamma in directions(None, base):
        tables = [row(gamma)[:, None]]
        for stage in stages:
            tables.append(np.stack([row(g) for g in directions(stage, gamma)], 1) - tables[0])
        last = tuple(
            g if d.stage is None else allowed[-1]
            for g, d, allowed in zip(gamma, space.dimensions, options)
        )
        if stages and not np.allclose(sum(table[:, -1] for table in tables), row(last), rtol=1e-9):
            raise UsageError(
                'a cost in the budget is no sum over the stages of the space, so that dimensions of single'
                ' stages cannot be searched: give all stages the same, or take the cost out of the budget'
            )
        yield tables


def _limits(budget: Budget) -> np.ndarray:
    """(limits, 1), less the rounding of sums of costs; it parts no whole numbers below 1e14."""
    return np.array([limit for _, limit in budget.limits], float)[:, None] * (1 - 1e-14)


def _sums(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Every column of the one plus every column of the other."""
    return (one[:, :, None] + other[:, None]).reshape(len(one), -1)
