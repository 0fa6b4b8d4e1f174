"""Evolutionary search for the best architecture of a space under a budget, as in AutoFormer, with bounded tries."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.search.budget import Budget, Costs
from s4jax.search.space import Architecture, Choices, SearchSpace, choices_from_json


@dataclasses.dataclass(frozen=True)
class Member:
    """A scored architecture: the choices it came from, its costs, its accuracy (0…1), the generation it was born in."""

    choices: Choices
    architecture: Architecture
    costs: dict[str, float]
    accuracy: float
    generation: int
    origin: str


@dataclasses.dataclass(frozen=True)
class Evolution:
    """All members in the order they were scored, the best of them, and why it ended."""

    members: tuple[Member, ...]
    best: Member
    stopped: str

    def to_json(self) -> dict[str, Any]:
        rows = [
            dataclasses.asdict(m) | {'architecture': m.architecture.to_json()} for m in self.members
        ]
        return {
            'members': rows,
            'best': rows[self.members.index(self.best)],
            'stopped': self.stopped,
        }

    @classmethod
    def from_json(
        cls, row: Mapping[str, Any], architecture: Callable[[Mapping[str, Any]], Architecture]
    ) -> 'Evolution':
        """`architecture` makes an architecture of its JSON: a family's `Architecture.from_json`."""
        members = tuple(
            Member(
                choices=choices_from_json(m['choices']),
                architecture=architecture(m['architecture']),
                costs=m['costs'],
                accuracy=m['accuracy'],
                generation=m['generation'],
                origin=m['origin'],
            )
            for m in row['members']
        )
        return cls(members, members[row['members'].index(row['best'])], row['stopped'])


def mutate(
    space: SearchSpace,
    parent: Choices,
    rng: np.random.Generator,
    scalar_probability: float,
    block_probability: float,
) -> Choices:
    """A copy with some choices drawn again; a deeper child gets fresh blocks, a shallower one loses its last."""
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
    child = {}
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


def evolve(
    space: SearchSpace,
    budget: Budget,
    cost: Callable[[Architecture], Costs],
    score: Callable[[Sequence[Architecture]], np.ndarray],
    architecture: Callable[[Choices], Architecture],
    rng: np.random.Generator,
    *,
    population: int = 50,
    generations: int = 20,
    parents: int = 10,
    mutations: int = 25,
    crossovers: int = 25,
    scalar_probability: float = 0.4,
    block_probability: float = 0.2,
    tries: int = 10_000,
) -> Evolution:
    """The best architecture within the budget (Eq. 1) by the supernet's accuracy.

    Each generation breeds from the best `parents` seen so far and is filled up to `population` with random ones;
    nothing is scored twice, every generation is ranked. Each way of breeding gives up after `tries` draws: a search
    that finds nothing at all within the budget is an error, one that has met every architecture ends early.
    """
    members, seen = [], set()

    def breed(count: int, origin: str, draw: Callable[[], Choices | None]) -> list[tuple]:
        found = []
        for _ in range(tries):
            if len(found) == count:
                break
            choices = draw()
            if choices is None or (arch := architecture(choices)) in seen:
                continue
            costs = dict(cost(arch))
            if budget.fits(costs):
                seen.add(arch)
                found.append((choices, arch, costs, origin))
        return found

    def pair() -> Choices | None:
        one, other = (ranked[i].choices for i in rng.integers(len(ranked), size=2))
        return cross(space, one, other, rng) if space.layout(one) == space.layout(other) else None

    stopped = f'{generations} generations'
    for generation in range(generations):
        ranked = rank(members)[:parents]
        born = []
        if ranked:
            born += breed(
                min(mutations, population),
                'mutation',
                lambda: mutate(
                    space,
                    ranked[rng.integers(len(ranked))].choices,
                    rng,
                    scalar_probability,
                    block_probability,
                ),
            )
            born += breed(min(crossovers, population - len(born)), 'crossover', pair)
        born += breed(population - len(born), 'random', lambda: space.sample(rng))
        if not members and not born:
            smallest = cost(architecture(space.smallest()))
            raise UsageError(
                f'evolution found 0 of {population} architectures within the budget in {tries} draws; the '
                f'smallest of the space has {budget.beside(smallest)}: raise the budget or evolve.tries'
            )
        if not born:
            stopped = f'every architecture within reach was scored after {generation} generations'
            break
        accuracies = score([arch for _, arch, _, _ in born])
        members += [
            Member(choices, arch, costs, float(accuracy), generation, origin)
            for (choices, arch, costs, origin), accuracy in zip(born, accuracies, strict=True)
        ]
    return Evolution(tuple(members), rank(members)[0], stopped)


def rank(members: Sequence[Member]) -> list[Member]:
    """Best accuracy first; of equals the smaller, then the earlier."""
    return sorted(members, key=lambda m: (-m.accuracy, *m.costs.values()))
