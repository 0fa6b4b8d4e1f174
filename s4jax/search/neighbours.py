"""The neighbours of a space: which fit the budget (Eq. 4), which is nearest a gradient (Eq. 6)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.search import additive
from s4jax.search.budget import Budget, Costs
from s4jax.search.space import Gamma, SearchSpace

Size = Callable[[SearchSpace], Costs]  # M(A) of Eq. 4: the costs of a space's largest model
Part = tuple[np.ndarray, np.ndarray]
TIE = 1e-12


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A neighbour: its direction, the costs of its largest model, its cosine to the gradient.

    `rejected` says why it is not legal, or is None. `costs` is None where no such space exists.
    """

    gamma: Gamma
    costs: dict[str, float] | None
    cosine: float
    rejected: str | None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Candidate':
        return cls(tuple(row['gamma']), row['costs'], row['cosine'], row['rejected'])


def cosine(gamma: Gamma | np.ndarray, z: Sequence[float] | np.ndarray) -> float:
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
    """The legal candidate of the highest cosine (Eq. 6); of equal ones (1e-12) the first gamma."""
    legal = [c for c in found if c.rejected is None]
    top = max((c.cosine for c in legal), default=0.0)
    return min((c for c in legal if c.cosine >= top - TIE), key=lambda c: c.gamma, default=None)


def search(
    space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]
) -> tuple[Candidate, ...]:
    """What `best(candidates(…))` gives, for a space with too many neighbours to list.

    The last candidate is that one; where the best neighbour regardless of the budget is another, it
    stands first. The result is empty where nothing can move.

    All 3^n - 1 directions are compared, but few of their spaces are costed: with m dimensions of no
    stage and k of each stage, 3^m · (2 + stages · 3^k). This assumes that every limited cost is a
    sum over the stages while the dimensions of no stage are held, as parameters and MACs are; it
    need not rise with the dimensions.
    """
    limits = additive.limits(budget)
    parts = _parts(space, budget, size, z)
    norm = float(np.linalg.norm(z)) or 1.0
    closest = [_closest(parts, below, norm) for below in (np.full_like(limits, np.inf), limits)]
    places = _places(len(z))
    gammas = [
        tuple(int(digit) - 1 for digit in (number + places.sum()) // places % 3)
        for number in dict.fromkeys(closest)
        if number is not None
    ]
    return tuple(_candidate(space, budget, size, z, gamma) for gamma in gammas)


def _places(n: int) -> np.ndarray:
    """(n,): gamma · places numbers the directions in lexicographic order, from 0 for no move."""
    return 3 ** np.arange(n)[::-1]


def _parts(space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]) -> list[Part]:
    """The rows of all directions, each the column of a part plus one column of the part's table.

    A row holds gamma · places, gamma · z, the number of dimensions that move, the limited costs.
    """
    places = _places(len(z))

    def row(gamma: Gamma) -> np.ndarray:
        costs = budget.limited(size(space.moved(gamma)))
        sums = (np.dot(gamma, places), np.dot(gamma, z), np.count_nonzero(gamma))
        return np.array([*sums, *costs], float)

    movable = [[g for g in (-1, 0, 1) if d.obstacle(g) is None] for d in space.dimensions]
    parts = []
    for tables in additive.stage_tables(space, movable, (0,) * len(z), row):
        half = (len(tables) + 1) // 2
        nothing = np.zeros((len(tables[0]), 1))
        table = functools.reduce(additive.sums, tables[half:], nothing)
        parts += [(column, table) for column in functools.reduce(additive.sums, tables[:half]).T]
    return parts


def _cosines(part: Part, below: np.ndarray, norm: float) -> np.ndarray:
    """The cosine of every direction of a part; -inf where a cost is not below its limit."""
    column, table = part
    dot, moving = column[1:3, None] + table[1:3]
    legal = (moving > 0) & np.all(column[3:, None] + table[3:] < below, 0)
    return np.where(legal, dot / np.sqrt(np.maximum(moving, 1)) / norm, -np.inf)


def _closest(parts: Sequence[Part], below: np.ndarray, norm: float) -> int | None:
    """The number (gamma · places) of the direction that `best` would choose, or None."""
    tops = [_cosines(part, below, norm).max() for part in parts]
    tied = max(tops) - TIE
    if tied == -np.inf:
        return None
    return min(
        int(column[0] + table[0, _cosines((column, table), below, norm) >= tied].min())
        for (column, table), top in zip(parts, tops)
        if top >= tied
    )
