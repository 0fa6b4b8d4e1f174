"""S3, the method to compare with: moves a search space by lines fitted to its errors.

Chen et al., Searching the Search Space of Vision Transformer, NeurIPS 2021. Its published code
holds the models found, not the search: what the paper leaves open is decided here. Nothing
limits the size while the space moves; `backtrack` is what the S4 paper (section 7) does afterwards.
"""

import bisect
import dataclasses
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic

from s4jax.errors import UsageError
from s4jax.search.budget import Budget, Costs
from s4jax.search.dimension import Dimension
from s4jax.search.explore import Score
from s4jax.search.space import Architecture, Choices, Gamma, SearchSpace
from s4jax.settings import Float, Floats, Int, Section

WHOLE = 1e-9  # a slope this close to a whole number of quanta is that number
Quantum = Annotated[Float, pydantic.Field(ge=1e-6, le=1)]
SPLIT_TEXT = typing.get_args(Floats)[1]  # text such as 0.3,0.4 as its items


class S3Settings(Section):
    """How S3 moves the search space."""

    iterations: Int = pydantic.Field(
        3, ge=0, le=100, description='most moves of the space, each with a supernet of its own'
    )
    samples: Int = pydantic.Field(
        200, ge=1, le=100_000, description='architectures that measure one space'
    )
    best: Int = pydantic.Field(
        50, ge=1, le=100_000, description='best architectures of a choice: its top tier'
    )
    quantum: Annotated[tuple[Quantum, ...], SPLIT_TEXT] = pydantic.Field(
        (0.01,),
        min_length=1,
        description='error (0…1) per move of a dimension that makes one move: one number for all '
        'dimensions, or one for each in their order',
    )
    rounding: Literal['floor', 'trunc'] = pydantic.Field(
        'floor',
        description='slope over quantum as a whole number: the one below, as printed, so that the '
        'least descent of the error moves up (floor), or the one towards zero (trunc)',
    )


@dataclasses.dataclass(frozen=True)
class Quality:
    """The errors of one dimension, choice by choice; None where no sampled architecture uses it.

    `expected` is the mean error (0…1) of the architectures that use it, `top` of the best of them.
    """

    name: str
    values: tuple[float, ...]
    expected: tuple[float | None, ...]
    top: tuple[float | None, ...]

    @property
    def points(self) -> list[tuple[float, float]]:
        """(value, quality error) of each choice that was sampled: S3's E-T error."""
        rows = zip(self.values, self.expected, self.top)
        return [(x, (e + t) / 2) for x, e, t in rows if e is not None and t is not None]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Quality':
        return cls(row['name'], tuple(row['values']), tuple(row['expected']), tuple(row['top']))


class Line(NamedTuple):
    """error = slope · value + intercept; the slope is per unit of the dimension."""

    slope: float
    intercept: float


@dataclasses.dataclass(frozen=True)
class Move:
    """The moves that the slopes ask for, those made, and one line for each that was clipped."""

    wanted: Gamma
    gamma: Gamma
    clipped: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class S3Step:
    """What one step of S3 found: a quality and a line for each dimension, and the move.

    `space` is None where the search stops, and `stopped` says why.
    """

    qualities: tuple[Quality, ...]
    lines: tuple[Line, ...]
    move: Move
    space: SearchSpace | None
    stopped: str | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {'space': self.space and self.space.to_json()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'S3Step':
        return cls(
            qualities=tuple(Quality.from_json(q) for q in row['qualities']),
            lines=tuple(Line(*line) for line in row['lines']),
            move=Move(**{name: tuple(values) for name, values in row['move'].items()}),
            space=row['space'] and SearchSpace.from_json(row['space']),
            stopped=row['stopped'],
        )


def quality(
    space: SearchSpace, members: Sequence[Choices], errors: Sequence[float] | np.ndarray, best: int
) -> tuple[Quality, ...]:
    """The expected and the top-tier error of every choice of every dimension.

    `errors` (members,) are 1 - accuracy. A member counts for a choice of a per-block dimension by
    the share of its blocks that use it: a deeper member does not count for more. The top tier are
    the `best` members of lowest error among those that use the choice, by the same shares.
    """
    values = np.asarray(errors, np.float64)
    order = np.argsort(values, kind='stable')  # of equal errors the member sampled first
    ranked = values[order]
    result = []
    for d in space.dimensions:
        shares = np.array([_shares(members[i][d.name], d) for i in order])
        users = [(share, np.flatnonzero(share)) for share in shares.T]
        expected = tuple(_mean(ranked[used], share[used]) for share, used in users)
        top = tuple(_mean(ranked[used[:best]], share[used[:best]]) for share, used in users)
        result.append(Quality(d.name, d.values, expected, top))
    return tuple(result)


def _shares(chosen: Any, dimension: Dimension) -> list[float]:
    """For each choice of a dimension, the share of an architecture's blocks that use it."""
    blocks = chosen if dimension.per_block else (chosen,)
    return [blocks.count(value) / len(blocks) for value in dimension.values]


def _mean(errors: np.ndarray, weights: np.ndarray) -> float | None:
    return float(np.average(errors, weights=weights)) if len(errors) else None


def fit_lines(qualities: Sequence[Quality]) -> tuple[Line, ...]:
    """The line of least squares through each dimension's quality errors.

    Its slope is 0 where fewer than two choices were sampled. Of a per-block dimension it is what
    the choice of one block does, not that of all blocks at once: of n blocks about 1/n as much.
    """
    lines = []
    for found in qualities:
        x, y = np.array(found.points).T
        centred = x - x.mean()
        slope = float(centred @ y / (centred @ centred)) if len(x) > 1 else 0.0
        lines.append(Line(slope, float(y.mean() - slope * x.mean())))
    return tuple(lines)


def check_quanta(settings: S3Settings, names: Sequence[str]) -> None:
    """Raises where the quanta are not one for all dimensions, nor one for each."""
    given = settings.quantum
    if len(given) not in (1, len(names)):
        raise UsageError(
            f'config.s3.quantum={given} has {len(given)} numbers; write one for all dimensions, or '
            f'one for each of {", ".join(names)}'
        )


def quanta(space: SearchSpace, settings: S3Settings) -> tuple[float, ...]:
    """The quantum of each dimension."""
    check_quanta(settings, space.names)
    given, count = settings.quantum, len(space.dimensions)
    return given if len(given) == count else given * count


def move(space: SearchSpace, slopes: Sequence[float], settings: S3Settings) -> Move:
    """-⌊w / quantum⌋ moves of each dimension, at most to its floor or ceiling; no budget.

    `slopes` are errors per unit of each dimension; w is one times the dimension's tau: per move.
    """
    dimensions = space.dimensions
    wanted = tuple(
        -_rounded(slope * d.tau / quantum, settings.rounding)
        for d, slope, quantum in zip(dimensions, slopes, quanta(space, settings), strict=True)
    )
    gamma = tuple(_possible(d, steps) for d, steps in zip(dimensions, wanted))
    clipped = tuple(
        f'{d.obstacle(steps)}: {made} of {steps} moves'
        for d, steps, made in zip(dimensions, wanted, gamma)
        if made != steps
    )
    return Move(wanted, gamma, clipped)


def _rounded(ratio: float, rounding: Literal['floor', 'trunc']) -> int:
    """A whole number of quanta; the rounding of floats is forgiven, or 0.3 / 0.1 were 2."""
    nearest = round(ratio)
    if abs(ratio - nearest) <= WHOLE * max(1.0, abs(ratio)):
        return nearest
    return math.floor(ratio) if rounding == 'floor' else math.trunc(ratio)


def _possible(dimension: Dimension, steps: int) -> int:
    """As many of the moves as no floor or ceiling forbids; none of a dimension of one choice."""
    sign, counts = 1 if steps > 0 else -1, range(1, abs(steps) + 1)
    blocked = lambda count: dimension.obstacle(sign * count) is not None
    return sign * bisect.bisect_left(counts, True, key=blocked)


def step(
    space: SearchSpace,
    score: Score,
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    settings: S3Settings,
) -> S3Step:
    """One move of the space, by the errors (1 - `score`) of architectures sampled from it."""
    members = [space.sample(rng) for _ in range(settings.samples)]
    accuracies = np.asarray(score([architecture(choices) for choices in members]), np.float64)
    qualities = quality(space, members, 1 - accuracies, settings.best)
    lines = fit_lines(qualities)
    moves = move(space, [line.slope for line in lines], settings)
    if any(moves.gamma):
        return S3Step(qualities, lines, moves, space.moved(moves.gamma), stopped=None)
    stopped = '; '.join(moves.clipped) or 'every slope is rounded to no move; lower s3.quantum'
    return S3Step(qualities, lines, moves, None, stopped)


def backtrack(
    spaces: Sequence[SearchSpace],
    budget: Budget,
    cost: Callable[[Architecture], Costs],
    architecture: Callable[[Choices], Architecture],
) -> tuple[int, int]:
    """The index of the latest space with an architecture within the budget; how many come after it.

    A space has one where its smallest fits (Eq. 1), since no cost falls where a dimension grows.
    """
    least = [cost(architecture(space.smallest())) for space in spaces]
    for count, costs in enumerate(reversed(least)):
        if budget.fits(costs):
            return len(spaces) - 1 - count, count
    nearest = min(least, key=budget.limited)
    raise UsageError(
        f'no architecture of the {len(spaces)} spaces that were visited fits the budget: the '
        f'smallest has {budget.beside(nearest)}; raise the budget, or lower the first space'
    )
