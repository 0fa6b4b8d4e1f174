"""S4's explorer: move a search space by the accuracy gradient while its largest model fits the budget (section 4.2).

A model is seen here only through three functions: `architecture(choices)`, `cost(architecture) -> {name: number}` and
`score(architectures) -> accuracies`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.search.budget import Budget
from s4jax.search.neighbours import Candidate, Size, best, candidates, search
from s4jax.search.space import Architecture, Choices, Gamma, SearchSpace

Score = Callable[[Sequence[Architecture]], np.ndarray]
LISTED_DIMENSIONS = (
    7  # up to 3^7 - 1 = 2,186 neighbours are listed one by one, with the reason of each rejection
)


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Accuracy per unit of each dimension (Eq. 5): mean and standard error over the sampled pairs."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    error: tuple[float, ...]
    pairs: int

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Slopes':
        return cls(tuple(row['names']), tuple(row['mean']), tuple(row['error']), row['pairs'])


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

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Step':
        return cls(
            slopes=Slopes.from_json(row['slopes']),
            units=row['units'],
            z=tuple(row['z']),
            candidates=tuple(Candidate.from_json(c) for c in row['candidates']),
            gamma=row['gamma'] and tuple(row['gamma']),
            cosine=row['cosine'],
            space=row['space'] and SearchSpace.from_json(row['space']),
            stopped=row['stopped'],
        )


@dataclasses.dataclass(frozen=True)
class Visited:
    """A space that the search stood at: the move that led to it, and why the search ended there.

    `largest` holds the costs of its largest model; `gamma` is the move from the space before it
    (from the space given, for the first); `cosine` and `slopes` are None where no gradient chose
    the move; `stopped` is None where the search moved on.
    """

    space: SearchSpace
    largest: dict[str, float]
    gamma: Gamma
    cosine: float | None = None
    slopes: Slopes | None = None
    stopped: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {'space': self.space.to_json()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Visited':
        return cls(
            space=SearchSpace.from_json(row['space']),
            largest=row['largest'],
            gamma=tuple(row['gamma']),
            cosine=row['cosine'],
            slopes=row['slopes'] and Slopes.from_json(row['slopes']),
            stopped=row['stopped'],
        )


def slope_pairs(
    space: SearchSpace, rng: np.random.Generator, pairs: int
) -> dict[str, list[tuple[Choices, Choices]]]:
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
            result[dimension.name].append(
                tuple(
                    space.cut(
                        base | {dimension.name: value if blocks is None else (value,) * blocks}
                    )
                    for value in values
                )
            )
    return result


def slopes(
    space: SearchSpace,
    score: Score,
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    pairs: int = 40,
) -> Slopes:
    """The accuracy gradient z of Eq. 5 in accuracy (0…1) per unit of each dimension, with its standard error."""
    sampled = slope_pairs(space, rng, pairs)
    members = [
        architecture(choices)
        for pair in itertools.chain.from_iterable(sampled.values())
        for choices in pair
    ]
    accuracies = iter(np.asarray(score(members), np.float64).reshape(-1, 2))
    mean, error = [], []
    for dimension in space.dimensions:
        ratios = []
        for pair in sampled[dimension.name]:
            low, high = (
                c[dimension.name][0] if dimension.per_block else c[dimension.name] for c in pair
            )
            first, second = next(accuracies)
            ratios.append((second - first) / (high - low))
        mean.append(float(np.mean(ratios)) if ratios else 0.0)
        error.append(
            float(np.std(ratios, ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else 0.0
        )
    return Slopes(space.names, tuple(mean), tuple(error), pairs)


def step(
    space: SearchSpace,
    budget: Budget,
    size: Size,
    score: Score,
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    *,
    pairs: int,
    units: str,
    forced: bool = False,
) -> Step:
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
        return Step(
            measured, units, z, found, chosen.gamma, chosen.cosine, space.moved(chosen.gamma), None
        )
    return Step(measured, units, z, found, None, chosen and chosen.cosine, None, stopped)
