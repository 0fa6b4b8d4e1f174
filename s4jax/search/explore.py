"""S4's explorer: moves a search space by the accuracy gradient, within the budget (section 4.2).

A model is seen here only through three functions: `architecture(choices)`,
`size(space) -> {name: cost}` of a space's largest model, and `score(architectures) -> accuracies`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pydantic

from s4jax.search.budget import Budget
from s4jax.search.dimension import Dimension
from s4jax.search.neighbours import Candidate, Size, best, candidates, search
from s4jax.search.space import Architecture, Choices, Gamma, SearchSpace
from s4jax.search.start import Policy
from s4jax.settings import Int, Section

Score = Callable[[Sequence[Architecture]], np.ndarray]
# up to 3^7 - 1 = 2,186 neighbours are listed one by one, with the reason of each rejection
LISTED_DIMENSIONS = 7
NORMAL = 1.96  # standard errors on either side: a 95% interval


class ExploreSettings(Section):
    """How the search space is moved."""

    iterations: Int = pydantic.Field(
        3, ge=0, le=100, description='most moves of the space, each with a supernet of its own'
    )
    pairs: Int = pydantic.Field(
        40, ge=1, le=10_000, description='pairs of architectures that measure one slope'
    )
    most_pairs: Int | None = pydantic.Field(
        None,
        ge=1,
        le=100_000,
        description='as many pairs again are drawn for slopes whose 95% interval holds 0, up to '
        'this number; None: no more pairs',
        examples=[160],
    )
    units: Literal['tau', 'raw'] = pydantic.Field(
        'tau', description='slopes per move (tau), or per unit of the dimension as in Eq. 6 (raw)'
    )
    infeasible_start: Policy = pydantic.Field(
        'project',
        description="where the space's largest model is over the budget: start from the nearest "
        'space that fits, force a move that fits, or refuse',
    )


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Accuracy per unit of each dimension (Eq. 5): mean and standard error over sampled pairs.

    `pairs` is the number of pairs of a dimension, the largest where they differ.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    error: tuple[float, ...]
    pairs: int

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Slopes':
        return cls(tuple(row['names']), tuple(row['mean']), tuple(row['error']), row['pairs'])


@dataclasses.dataclass(frozen=True)
class Step:
    """What one exploration step found.

    `z` is the gradient in the units that the cosine was taken in. `gamma` and `space` are None
    where the search stops, and `stopped` says why.
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
    space: SearchSpace, rng: np.random.Generator, pairs: int, names: Collection[str]
) -> dict[str, list[tuple[Choices, Choices]]]:
    """`pairs` pairs of choices for each dimension of `names`, which differ in that one alone.

    A dimension of one choice has none. A per-block dimension is set to the value in every block.
    The values of a pair are ascending.
    """
    result: dict[str, list[tuple[Choices, Choices]]] = {}
    for dimension in space.dimensions:
        sampled = result[dimension.name] = []
        drawn = dimension.name in names and len(dimension.values) > 1
        for _ in range(pairs if drawn else 0):
            base = space.draw(rng)
            low, high = sorted(rng.choice(len(dimension.values), size=2, replace=False))
            sampled.append(
                (_with(space, base, dimension, low), _with(space, base, dimension, high))
            )
    return result


def _with(space: SearchSpace, base: Choices, dimension: Dimension, choice: int) -> Choices:
    """`base`, a draw at the largest depth, with one choice of a dimension in every block."""
    name, value = dimension.name, dimension.values[choice]
    return space.cut(base | {name: (value,) * len(base[name]) if dimension.per_block else value})


def slopes(
    space: SearchSpace,
    score: Score,
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    pairs: int,
    most_pairs: int | None = None,
) -> Slopes:
    """The accuracy gradient z of Eq. 5, in accuracy (0…1) per unit of each dimension.

    While `most_pairs` allows it, as many pairs again are drawn for the dimensions whose sign is not
    certain. The standard error of a single pair is given as 0.
    """
    ratios: dict[str, list[float]] = {name: [] for name in space.names}
    wanted, drawn = space.names, 0
    while wanted and (drawn == 0 or drawn + pairs <= (most_pairs or 0)):
        sampled = slope_pairs(space, rng, pairs, wanted)
        for name, found in _ratios(space, score, architecture, sampled).items():
            ratios[name] += found
        wanted, drawn = tuple(n for n in wanted if _uncertain(ratios[n])), drawn + pairs
    mean = tuple(float(np.mean(each)) if each else 0.0 for each in ratios.values())
    error = tuple(_error(each) for each in ratios.values())
    return Slopes(space.names, mean, error, drawn)


def _error(ratios: Sequence[float]) -> float:
    n = len(ratios)
    return float(np.std(ratios, ddof=1) / np.sqrt(n)) if n > 1 else 0.0


def _uncertain(ratios: Sequence[float]) -> bool:
    """Whether the 95% interval of the mean holds 0."""
    return bool(ratios and abs(np.mean(ratios)) <= NORMAL * _error(ratios))


def _ratios(
    space: SearchSpace,
    score: Score,
    architecture: Callable[[Choices], Architecture],
    sampled: Mapping[str, Sequence[tuple[Choices, Choices]]],
) -> dict[str, list[float]]:
    """The slopes of all pairs, by dimension; all architectures are scored in one call."""
    members = [
        architecture(choices)
        for pair in itertools.chain.from_iterable(sampled.values())
        for choices in pair
    ]
    accuracies = iter(np.asarray(score(members), np.float64).reshape(-1, 2))
    found: dict[str, list[float]] = {}
    for dimension in space.dimensions:
        ratios = found[dimension.name] = []
        for pair in sampled[dimension.name]:
            values = (choices[dimension.name] for choices in pair)
            low, high = (value[0] if dimension.per_block else value for value in values)
            first, second = next(accuracies)
            ratios.append((second - first) / (high - low))
    return found


def step(
    space: SearchSpace,
    budget: Budget,
    size: Size,
    score: Score,
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    settings: ExploreSettings,
    forced: bool = False,
) -> Step:
    """One move of the space, to the legal neighbour best aligned with the slopes (section 4.2).

    Units of 'tau' measure z in moves (each slope times tau_k), so that the MLP ratio does not
    outweigh the embedding by the mere size of its unit; 'raw' is Eq. 6 as printed. `forced` takes
    the best legal move even of negative cosine.
    """
    pairs, most = settings.pairs, settings.most_pairs
    measured = slopes(space, score, architecture, rng, pairs, most)
    scale = [d.tau if settings.units == 'tau' else 1.0 for d in space.dimensions]
    z = tuple(slope * unit for slope, unit in zip(measured.mean, scale))
    listed = len(space.dimensions) <= LISTED_DIMENSIONS
    found = (candidates if listed else search)(space, budget, size, z)
    chosen = best(found)
    stopped = None if chosen and forced else _stopped(chosen, z)
    moves = chosen if stopped is None else None
    return Step(
        slopes=measured,
        units=settings.units,
        z=z,
        candidates=found,
        gamma=moves.gamma if moves else None,
        cosine=chosen.cosine if chosen else None,
        space=space.moved(moves.gamma) if moves else None,
        stopped=stopped,
    )


def _stopped(chosen: Candidate | None, z: Sequence[float]) -> str | None:
    """Why the search ends before the best legal neighbour, or None where it moves there."""
    if chosen is None:
        return 'no neighbouring space fits the budget'
    if not any(z):
        return 'the accuracy gradient is zero'
    if chosen.cosine < 0:
        return f'no legal neighbour ascends (best cosine {chosen.cosine:.3f})'
    return None
