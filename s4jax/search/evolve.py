"""Evolutionary search for the best architecture of a space under a budget, as in AutoFormer.

Unlike there, tries are bounded: the published loop never ends where nothing fits.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic

from s4jax.errors import UsageError
from s4jax.search.budget import Budget, Costs
from s4jax.search.space import Architecture, Choices, SearchSpace, choices_from_json
from s4jax.settings import Float, Int, Section

Draw = Callable[[], Choices | None]


class EvolveSettings(Section):
    """How the best architecture of the last space is searched."""

    population: Int = pydantic.Field(
        50, ge=1, le=10_000, description='architectures scored in each generation'
    )
    generations: Int = pydantic.Field(20, ge=1, le=10_000, description='generations of the search')
    parents: Int = pydantic.Field(
        10, ge=1, le=10_000, description='best architectures so far that a generation is bred from'
    )
    mutations: Int = pydantic.Field(
        25, ge=0, le=10_000, description='most mutations in a generation'
    )
    crossovers: Int = pydantic.Field(
        25, ge=0, le=10_000, description='most crossovers in a generation'
    )
    scalar_probability: Float = pydantic.Field(
        0.4, ge=0, le=1, description='chance that a mutation redraws a choice of the whole model'
    )
    block_probability: Float = pydantic.Field(
        0.2, ge=0, le=1, description='chance that a mutation redraws a choice of one block'
    )
    tries: Int = pydantic.Field(
        10_000,
        ge=1,
        le=10_000_000,
        description='most draws of each way of breeding in a generation',
    )


@dataclasses.dataclass(frozen=True)
class Member:
    """A scored architecture: the choices it came from, its costs, its accuracy (0…1).

    `generation` counts from 0; `origin` is the way of breeding: mutation, crossover or random.
    """

    choices: Choices
    architecture: Architecture
    costs: dict[str, float]
    accuracy: float
    generation: int
    origin: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {'architecture': self.architecture.to_json()}


def members_from_json(
    rows: Sequence[Mapping[str, Any]], architecture: Callable[[Mapping[str, Any]], Architecture]
) -> tuple[Member, ...]:
    """`architecture` reads an architecture's JSON: a family's `Architecture.from_json`."""
    return tuple(
        Member(
            choices=choices_from_json(m['choices']),
            architecture=architecture(m['architecture']),
            costs=m['costs'],
            accuracy=m['accuracy'],
            generation=m['generation'],
            origin=m['origin'],
        )
        for m in rows
    )


@dataclasses.dataclass(frozen=True)
class Evolution:
    """All members in the order they were scored, the best of them, and why it ended."""

    members: tuple[Member, ...]
    best: Member
    stopped: str

    def to_json(self) -> dict[str, Any]:
        rows = [member.to_json() for member in self.members]
        return {
            'members': rows,
            'best': rows[self.members.index(self.best)],
            'stopped': self.stopped,
        }

    @classmethod
    def from_json(
        cls, row: Mapping[str, Any], architecture: Callable[[Mapping[str, Any]], Architecture]
    ) -> 'Evolution':
        members = members_from_json(row['members'], architecture)
        return cls(members, members[row['members'].index(row['best'])], row['stopped'])


def mutate(
    space: SearchSpace,
    parent: Choices,
    rng: np.random.Generator,
    scalar_probability: float,
    block_probability: float,
) -> Choices:
    """A copy with some choices drawn again.

    A deeper child gets fresh blocks, a shallower one loses its last.
    """
    fresh, child = space.draw(rng), dict(parent)
    for dimension in space.dimensions:
        if not dimension.per_block and rng.random() < scalar_probability:
            child[dimension.name] = fresh[dimension.name]
    child = space.resize(child, space.layout(parent), fresh)
    for dimension in space.dimensions:
        if dimension.per_block:
            values, kept = dimension.values, child[dimension.name]
            redrawn = rng.random(len(kept)) < block_probability
            drawn = rng.integers(len(values), size=len(kept))
            child[dimension.name] = tuple(
                values[i] if new else old for old, new, i in zip(kept, redrawn, drawn)
            )
    return child


def cross(space: SearchSpace, one: Choices, other: Choices, rng: np.random.Generator) -> Choices:
    """Each gene, and each block's gene, from either parent; the parents have equal depths."""
    child: Choices = {}
    for dimension in space.dimensions:
        name = dimension.name
        if dimension.per_block:
            sides = rng.random(len(one[name])) < 0.5
            child[name] = tuple(
                a if side else b for a, b, side in zip(one[name], other[name], sides, strict=True)
            )
        else:
            child[name] = one[name] if rng.random() < 0.5 else other[name]
    return child


class Bred(NamedTuple):
    """A new architecture within the budget, not scored yet."""

    choices: Choices
    architecture: Architecture
    costs: dict[str, float]
    origin: str


def ways_to_breed(
    space: SearchSpace,
    parents: Sequence[Choices],
    rng: np.random.Generator,
    settings: EvolveSettings,
) -> list[tuple[str, int, Draw]]:
    """(origin, most of a generation, draw) of each way of breeding, in order.

    Without parents there is the random one alone. A draw of None is a failed try.
    """

    def mutated() -> Choices:
        parent = parents[int(rng.integers(len(parents)))]
        return mutate(space, parent, rng, settings.scalar_probability, settings.block_probability)

    def crossed() -> Choices | None:
        one, other = (parents[i] for i in rng.integers(len(parents), size=2))
        return cross(space, one, other, rng) if space.layout(one) == space.layout(other) else None

    random: list[tuple[str, int, Draw]] = [
        ('random', settings.population, lambda: space.sample(rng))
    ]
    if not parents:
        return random
    return [
        ('mutation', settings.mutations, mutated),
        ('crossover', settings.crossovers, crossed),
        *random,
    ]


def evolve(
    space: SearchSpace,
    budget: Budget,
    cost: Callable[[Architecture], Costs],
    score: Callable[[Sequence[Architecture]], np.ndarray],
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    settings: EvolveSettings,
) -> Evolution:
    """The best architecture within the budget (Eq. 1) by the supernet's accuracy.

    Each generation breeds from the best `parents` seen so far and is filled up to `population` with
    random ones; nothing is scored twice, every generation is ranked. Each way of breeding gives up
    after `tries` draws: a search that finds nothing at all within the budget is an error, one that
    has scored every architecture ends early.
    """
    members: list[Member] = []
    seen: set[Architecture] = set()

    def breed(count: int, draw: Draw, origin: str) -> list[Bred]:
        """Up to `count` new architectures within the budget."""
        found: list[Bred] = []
        for _ in range(settings.tries):
            if len(found) == count:
                break
            choices = draw()
            if choices is None or (arch := architecture(choices)) in seen:
                continue
            costs = dict(cost(arch))
            if budget.fits(costs):
                seen.add(arch)
                found.append(Bred(choices, arch, costs, origin))
        return found

    stopped = f'{settings.generations} generations'
    for generation in range(settings.generations):
        parents = [m.choices for m in rank(members)[: settings.parents]]
        born: list[Bred] = []
        for origin, most, draw in ways_to_breed(space, parents, rng, settings):
            born += breed(min(most, settings.population - len(born)), draw, origin)
        if not members and not born:
            raise _nothing_fits(budget.beside(cost(architecture(space.smallest()))), settings)
        if not born:
            stopped = f'every architecture within reach was scored after {generation} generations'
            break
        accuracies = score([b.architecture for b in born])
        members += [
            Member(b.choices, b.architecture, b.costs, float(accuracy), generation, b.origin)
            for b, accuracy in zip(born, accuracies, strict=True)
        ]
    return Evolution(tuple(members), rank(members)[0], stopped)


def _nothing_fits(smallest: str, settings: EvolveSettings) -> UsageError:
    return UsageError(
        f'evolution found 0 of {settings.population} architectures within the budget in '
        f'{settings.tries} draws; the smallest of the space has {smallest}: raise the budget or '
        'evolve.tries'
    )


def rank(members: Sequence[Member]) -> list[Member]:
    """Best accuracy first; of equals the smaller, then the earlier."""
    return sorted(members, key=lambda m: (-m.accuracy, *m.costs.values()))
