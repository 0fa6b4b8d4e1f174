"""S4's explorer: move a search space by the accuracy gradient while its largest model fits the budget (section 4.2).

A model is seen here only through three functions: `architecture(choices)`, `cost(architecture) -> {name: number}` and
`score(architectures) -> accuracies`.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from s4jax.budget import Budget, Costs
from s4jax.errors import UsageError
from s4jax.space import Architecture, Choices, Gamma, SearchSpace

Size = Callable[[SearchSpace], Costs]
Score = Callable[[Sequence[Architecture]], np.ndarray]

LISTED_DIMENSIONS = 7        # up to 3^7 - 1 = 2,186 neighbours are listed one by one, with the reason of each rejection
TIE = 1e-12


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Accuracy per unit of each dimension (Eq. 5): mean and standard error over the sampled pairs."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    error: tuple[float, ...]
    pairs: int


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A neighbour: its direction, the cost of its largest model, its cosine to the gradient, why it was rejected."""

    gamma: Gamma
    costs: dict[str, float] | None
    cosine: float
    rejected: str | None


@dataclasses.dataclass(frozen=True)
class Step:
    """What one exploration step found; `gamma` and `space` are None where the search stops, `stopped` says why.

    `z` is the gradient in the units that the cosine was taken in.
    """

    slopes: Slopes
    units: str
    z: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    gamma: Gamma | None
    cosine: float | None
    space: SearchSpace | None
    stopped: str | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {'space': self.space and self.space.to_json()}


def slope_pairs(space: SearchSpace, rng: np.random.Generator, pairs: int) -> dict[str, list[tuple[Choices, Choices]]]:
    """`pairs` pairs of choices for each dimension that differ in that dimension alone; none where it has one choice.

    A per-block dimension is set to the value in every block. The pair's values are ascending.
    """
    result = {}
    for dimension in space.dimensions:
        result[dimension.name] = []
        for _ in range(pairs if len(dimension.values) > 1 else 0):
            base = space.draw(rng)
            two = sorted(rng.choice(len(dimension.values), size=2, replace=False))
            values = (dimension.values[i] for i in two)
            blocks = len(base[dimension.name]) if dimension.per_block else None
            result[dimension.name].append(tuple(
                space.cut(base | {dimension.name: value if blocks is None else (value,) * blocks}) for value in values))
    return result


def slopes(space: SearchSpace, score: Score, architecture: Callable[[Choices], Architecture], rng: np.random.Generator,
           pairs: int = 40) -> Slopes:
    """The accuracy gradient z of Eq. 5 in accuracy (0…1) per unit of each dimension, with its standard error."""
    sampled = slope_pairs(space, rng, pairs)
    members = [architecture(choices) for pair in itertools.chain.from_iterable(sampled.values()) for choices in pair]
    accuracies = iter(np.asarray(score(members), np.float64).reshape(-1, 2))
    mean, error = [], []
    for dimension in space.dimensions:
        ratios = []
        for pair in sampled[dimension.name]:
            low, high = (c[dimension.name][0] if dimension.per_block else c[dimension.name] for c in pair)
            first, second = next(accuracies)
            ratios.append((second - first) / (high - low))
        mean.append(float(np.mean(ratios)) if ratios else 0.0)
        error.append(float(np.std(ratios, ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else 0.0)
    return Slopes(space.names, tuple(mean), tuple(error), pairs)


def cosine(gamma: Gamma, z: Sequence[float]) -> float:
    """cos(gamma, z) of Eq. 6; 0 where z is 0."""
    scale = np.linalg.norm(gamma) * np.linalg.norm(z)
    return float(np.dot(gamma, z) / scale) if scale else 0.0


def candidates(space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]) -> tuple[Candidate, ...]:
    """Every neighbour of the space (Eq. 2), legal (Eq. 4) or rejected with the reason."""
    return tuple(_candidate(space, budget, size, z, gamma) for gamma in space.directions())


def _candidate(space: SearchSpace, budget: Budget, size: Size, z: Sequence[float], gamma: Gamma) -> Candidate:
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


def search(space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]) -> tuple[Candidate, ...]:
    """The answer of `best(candidates(…))` for a space too large to list; before it the answer of no budget, if another.

    All 3^n - 1 directions are compared, but few of their spaces are costed. This assumes of every limited cost that,
    while the dimensions of no stage are held, it is a sum over the stages, as parameters and MACs are; it may well fall
    where a dimension grows. With m dimensions of no stage and k of each, 3^m · (2 + stages · 3^k) spaces are costed.
    """
    limits = _limits(budget)
    places = 3 ** np.arange(len(z))[::-1]      # gamma · places counts lexicographically, from 0 for no move
    norm = float(np.linalg.norm(z)) or 1.0

    def row(gamma: Gamma) -> np.ndarray:
        costs = budget.limited(size(space.moved(gamma)))
        return np.array([np.dot(gamma, places), np.dot(gamma, z), np.count_nonzero(gamma), *costs], float)

    movable = [[g for g in (-1, 0, 1) if d.obstacle(g) is None] for d in space.dimensions]
    parts = []      # the row of every direction is the column of one part plus one of the columns of the part's table
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
        number = min(column[0] + table[0, cosines(column, table, below) >= tied].min()
                     for (column, table), top in zip(parts, tops) if top >= tied)
        return tuple(int(digit) - 1 for digit in (int(number) + places.sum()) // places % 3)

    found = dict.fromkeys(filter(None, (closest(np.full_like(limits, np.inf)), closest(limits))))
    return tuple(_candidate(space, budget, size, z, gamma) for gamma in found)


def _tables(space: SearchSpace, options: Sequence[Sequence[int]], base: Gamma,
            row: Callable[[Gamma], np.ndarray]) -> Iterator[list[np.ndarray]]:
    """The rows of all directions that `options` allow, `base` among them, as sums of one column of each table.

    For each choice of the dimensions of no stage: a table of one column, the row of that choice where the others are at
    `base`, and for each stage a table of what the choices of its dimensions add.
    """
    def directions(stage: int | None, gamma: Gamma) -> Iterator[Gamma]:
        return itertools.product(*(options[k] if dimension.stage == stage else (gamma[k],)
                                   for k, dimension in enumerate(space.dimensions)))

    stages = sorted({dimension.stage for dimension in space.dimensions} - {None})
    for gamma in directions(None, base):
        tables = [row(gamma)[:, None]]
        for stage in stages:
            tables.append(np.stack([row(g) for g in directions(stage, gamma)], 1) - tables[0])
        last = tuple(g if d.stage is None else allowed[-1] for g, d, allowed in zip(gamma, space.dimensions, options))
        if stages and not np.allclose(sum(table[:, -1] for table in tables), row(last), rtol=1e-9):
            raise UsageError('a cost in the budget is no sum over the stages of the space, so that dimensions of single'
                             ' stages cannot be searched: give all stages the same, or take the cost out of the budget')
        yield tables


def _limits(budget: Budget) -> np.ndarray:
    """(limits, 1), less the rounding of sums of costs; it parts no whole numbers below 1e14."""
    return np.array([limit for _, limit in budget.limits], float)[:, None] * (1 - 1e-14)


def _sums(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Every column of the one plus every column of the other."""
    return (one[:, :, None] + other[:, None]).reshape(len(one), -1)


def step(space: SearchSpace, budget: Budget, size: Size, score: Score, architecture: Callable[[Choices], Architecture],
         rng: np.random.Generator, *, pairs: int, units: str, forced: bool = False) -> Step:
    """One move of the space: slopes, legal neighbours, the one best aligned with the slopes (steps 1–3 of section 4.2).

    `units='tau'` measures z in moves (each slope times tau_k), so that the MLP ratio does not outweigh the embedding by
    the mere size of its unit; 'raw' is Eq. 6 as printed. `forced` takes the best legal move even of negative cosine.
    """
    measured = slopes(space, score, architecture, rng, pairs)
    scale = [d.tau if units == 'tau' else 1.0 for d in space.dimensions]
    z = tuple(slope * tau for slope, tau in zip(measured.mean, scale))
    listed = len(space.dimensions) <= LISTED_DIMENSIONS
    found = (candidates if listed else search)(space, budget, size, z)
    chosen = best(found)
    if chosen is None:
        stopped = 'no neighbouring space fits the budget'
    elif not any(z) and not forced:
        stopped = 'the accuracy gradient is zero'
    elif chosen.cosine < 0 and not forced:
        stopped = f'no legal neighbour ascends (best cosine {chosen.cosine:.3f})'
    else:
        return Step(measured, units, z, found, chosen.gamma, chosen.cosine, space.moved(chosen.gamma), None)
    return Step(measured, units, z, found, None, chosen and chosen.cosine, None, stopped)


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
        raise UsageError(f"the space's largest model does not fit: {excess}; lower the space's upper bounds, raise the "
                         "budget, or set explore.infeasible_start to 'project' or 'move'")
    lowest = _lowest(space)
    if not budget.fits(size(space.moved(lowest)), strict=True):
        raise UsageError('no space that can be reached fits the budget: the smallest has a largest model of '
                         f'{budget.beside(size(space.moved(lowest)))}; raise the budget, or lower the floors or the '
                         'width of the space')
    if policy == 'move':
        down = tuple(max(steps, -1) for steps in lowest)
        if not any(down) or not budget.fits(size(space.moved(down)), strict=True):
            raise UsageError(f"explore.infeasible_start='move': no neighbour of the space fits ({excess}); use "
                             "'project'")
        return space, still
    gamma = _nearest(space, budget, size, lowest)
    return space.moved(gamma), gamma


def _lowest(space: SearchSpace) -> Gamma:
    """As many moves down as each floor allows."""
    return tuple(-next(k for k in itertools.count() if d.obstacle(-k - 1)) for d in space.dimensions)


def _nearest(space: SearchSpace, budget: Budget, size: Size, lowest: Gamma) -> Gamma:
    """The nearest space that fits: never above in any dimension, as costs must not fall where one grows.

    They must also be sums over the stages, as in `search`. Directions are summed up stage by stage, from the lowest
    corner within the radius; one is dropped when the later stages cannot bring it to the wanted height in the budget.
    """
    n, limits = len(lowest), _limits(budget)

    def fits(gamma: Gamma) -> bool:
        return budget.fits(size(space.moved(gamma)), strict=True)

    def row(gamma: Gamma) -> np.ndarray:
        return np.array([*gamma, sum(gamma) - sum(corner), *budget.limited(size(space.moved(gamma)))], float)

    corner = next(filter(fits, (tuple(max(-radius, k) for k in lowest) for radius in itertools.count(1))))
    options = [[g for g in range(corner[k], 1) if fits((*corner[:k], g, *corner[k + 1:]))] for k in range(n)]
    splits = []
    for tables in _tables(space, options, corner, row):
        least = [np.where(np.arange(1 - sum(corner)) == 0, 0, np.full(limits.shape, np.inf))]
        for table in reversed(tables):
            least.insert(0, _least(table[n:], least[0]))
        splits.append((np.all(least[0] < limits, 0), tables, least[1:]))
    for height in reversed(range(1 - sum(corner))):
        rows = [_reaching(height, tables, least, limits) for reachable, tables, least in splits if reachable[height]]
        legal = [(-cost, gamma) for *gamma, _, cost in np.concatenate(rows, 1)[:n + 2].T] if rows else []
        if legal:
            return tuple(map(int, min(legal)[1]))


def _least(table: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The least of each cost at every height (costs × heights) by a column of `table` and the `later` tables' least."""
    result = np.full_like(later, np.inf)
    for height in np.unique(table[0]).astype(int):
        costs = table[1:, table[0] == height].min(1, keepdims=True)
        result[:, height:] = np.minimum(result[:, height:], costs + later[:, :later.shape[1] - height])
    return result


def _reaching(height: int, tables: Sequence[np.ndarray], least: Sequence[np.ndarray], limits: np.ndarray) -> np.ndarray:
    """The sums of one column of each table that have the height and fit; of equal costs the lexicographically first."""
    rows = np.zeros((len(tables[0]), 1))
    n = len(rows) - len(limits) - 1
    for table, later in zip(tables, least):
        rows = _sums(rows, table)
        left = (height - rows[n]).astype(int)
        rows = rows[:, (left >= 0) & np.all(rows[n + 1:] + later[:, left] < limits, 0)]
        rows = rows[:, np.lexsort([*rows[:n][::-1], *rows[n:]])]
        rows = rows[:, np.any(np.diff(rows[n:], axis=1, prepend=-1) != 0, 0)]
    return rows
