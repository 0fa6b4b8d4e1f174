"""S4's explorer: move a search space by the accuracy gradient while its largest model fits the budget (paper, section 4.2).

A model is seen here only through three functions: `architecture(choices)`, `cost(architecture) -> {name: number}` and
`score(architectures) -> accuracies`.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Sequence
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
    found = []
    for gamma in space.directions():
        costs, rejected = None, space.obstacle(gamma)
        if rejected is None:
            costs = dict(size(space.moved(gamma)))
            rejected = budget.excess(costs, strict=True)
        found.append(Candidate(gamma, costs, cosine(gamma, z), rejected))
    return tuple(found)


def best(found: Sequence[Candidate]) -> Candidate | None:
    """The legal candidate of the highest cosine (Eq. 6); equal cosines (1e-12) are settled by lexicographic gamma."""
    legal = [c for c in found if c.rejected is None]
    top = max((c.cosine for c in legal), default=None)
    return min((c for c in legal if c.cosine >= top - TIE), key=lambda c: c.gamma, default=None)


def search(space: SearchSpace, budget: Budget, size: Size, z: Sequence[float]) -> tuple[Candidate, ...]:
    """What `best(candidates(…))` needs of a space too large to list: the best neighbour, and those rejected before it.

    Best-first: partial directions, largest |z_k| first, are expanded in the order of an upper bound of their cosine. One
    is dropped when even its smallest completion exceeds the budget, which is exact for costs that do not fall when a
    dimension grows, as counts of parameters and MACs do.
    """
    order = sorted(range(len(z)), key=lambda k: -abs(z[k]))
    movable = [[g for g in (-1, 0, 1) if space.dimensions[k].obstacle(g) is None] for k in order]
    # gain[j:] are the most that the dimensions from j on can add to the dot product, largest first
    gain = [max(0.0, *(g * z[k] for g in movable[j])) for j, k in enumerate(order)]
    tail = [np.concatenate([[0.0], np.cumsum(sorted(gain[j:], reverse=True))]) for j in range(len(z) + 1)]
    norm = float(np.linalg.norm(z)) or 1.0

    def bound(partial: Gamma) -> float:
        dot = sum(g * z[k] for g, k in zip(partial, order))
        count = np.count_nonzero(partial) + np.arange(len(tail[len(partial)]))
        return float(np.max((dot + tail[len(partial)])[count > 0] / np.sqrt(count[count > 0]), initial=-np.inf)) / norm

    def completed(partial: Gamma) -> Gamma:
        lowest = partial + tuple(choices[0] for choices in movable[len(partial):])
        return tuple(lowest[order.index(k)] for k in range(len(z)))

    queue, found, top = [(-1.0, ())], [], -np.inf
    while queue and -queue[0][0] >= top - TIE:
        upper, partial = heapq.heappop(queue)
        gamma = completed(partial)
        costs = dict(size(space.moved(gamma)))
        rejected = budget.excess(costs, strict=True)
        if len(partial) == len(z):
            found.append(Candidate(gamma, costs, cosine(gamma, z), rejected))
            top = max(top, found[-1].cosine) if rejected is None else top
        elif rejected is None:
            for g in movable[len(partial)]:
                child = (*partial, g)
                if len(child) < len(z) or any(child):
                    heapq.heappush(queue, (-bound(child), child))
    return tuple(found)


def step(space: SearchSpace, budget: Budget, size: Size, score: Score, architecture: Callable[[Choices], Architecture],
         rng: np.random.Generator, *, pairs: int, units: str, forced: bool = False) -> Step:
    """One move of the space: slopes, legal neighbours, the one best aligned with the slopes (steps 1–3 of section 4.2).

    `units='tau'` measures z in moves (each slope times tau_k), so that the MLP ratio does not outweigh the embedding by the
    mere size of its unit; 'raw' is Eq. 6 as printed. `forced` takes the best legal move even if its cosine is negative.
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
        reach = size(space.moved(lowest))
        raise UsageError('no space that can be reached fits the budget: the smallest has a largest model of '
                         + ', '.join(f'{name} {reach[name]:,.0f} (budget {limit:,.0f})' for name, limit in budget.limits)
                         + '; raise the budget or lower the floors or the width of the space')
    if policy == 'move':
        down = tuple(max(steps, -1) for steps in lowest)
        if not any(down) or not budget.fits(size(space.moved(down)), strict=True):
            raise UsageError(f"explore.infeasible_start='move': no neighbour of the space fits ({excess}); use 'project'")
        return space, still
    gamma = _nearest(space, budget, size, lowest)
    return space.moved(gamma), gamma


def _lowest(space: SearchSpace) -> Gamma:
    """As many moves down as each floor allows."""
    return tuple(-next(k for k in itertools.count() if d.obstacle(-k - 1)) for d in space.dimensions)


def _nearest(space: SearchSpace, budget: Budget, size: Size, lowest: Gamma) -> Gamma:
    """Costs grow with every dimension, so the nearest space that fits lies below in each: no move up is ever needed."""
    name = budget.limits[0][0]
    radius = next(r for r in itertools.count(1)
                  if budget.fits(size(space.moved(tuple(max(-r, k) for k in lowest))), strict=True))
    reach = [max(-radius, k) for k in lowest]
    for total in itertools.count(1):
        legal = [(-costs[name], gamma) for gamma in _descents(reach, total)
                 if budget.fits(costs := size(space.moved(gamma)), strict=True)]
        if legal:
            return min(legal)[1]


def _descents(reach: Sequence[int], total: int):
    """All gamma with reach_k <= gamma_k <= 0 and a sum of -total."""
    if not reach:
        yield from [()] * (total == 0)
        return
    for steps in range(min(-reach[0], total) + 1):
        for rest in _descents(reach[1:], total - steps):
            yield (-steps, *rest)
