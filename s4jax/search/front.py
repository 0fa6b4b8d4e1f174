"""The front of accuracy against size: the best architecture under each of several limits."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.search.budget import Budget, Costs
from s4jax.search.evolve import EvolveSettings, Member, evolve, members_from_json, rank
from s4jax.search.explore import Score
from s4jax.search.space import Architecture, Choices, SearchSpace


@dataclasses.dataclass(frozen=True)
class Front:
    """Architectures of which none is both smaller and better than another, the smallest first.

    `cost` is the name of the cost that they are compared by.
    """

    cost: str
    members: tuple[Member, ...]

    def to_json(self) -> dict[str, Any]:
        return {'cost': self.cost, 'members': [m.to_json() for m in self.members]}

    @classmethod
    def from_json(
        cls, row: Mapping[str, Any], architecture: Callable[[Mapping[str, Any]], Architecture]
    ) -> 'Front':
        """`architecture` reads an architecture's JSON: a family's `Architecture.from_json`."""
        return cls(row['cost'], members_from_json(row['members'], architecture))


def limits(smallest: float, largest: float, points: int) -> list[float]:
    """`points` limits above `smallest`, of equal ratios, up to `largest`."""
    return [smallest * (largest / smallest) ** (k / points) for k in range(1, points + 1)]


def best_below(members: Sequence[Member], cost: str, bounds: Sequence[float]) -> list[Member]:
    """The best member within each bound, ascending; none is dominated, and none comes twice.

    Of equal accuracies the smaller counts, so that each is better than the ones before it.
    """
    front: list[Member] = []
    for bound in bounds:
        within = [m for m in members if m.costs[cost] <= bound]
        if not within:
            continue
        best = min(rank(within), key=lambda m: (-m.accuracy, m.costs[cost]))
        if not front or best.accuracy > front[-1].accuracy:
            front.append(best)
    return front


def front(
    space: SearchSpace,
    budget: Budget,
    cost: Callable[[Architecture], Costs],
    score: Score,
    architecture: Callable[[Choices], Architecture],
    generator: Callable[[int], np.random.Generator],
    settings: EvolveSettings,
    points: int,
) -> Front:
    """Evolution under `points` limits of the budget's first cost, from tight to the budget itself.

    Without a budget it is the number of parameters, up to the largest model of the space.
    `generator(k)` gives the randomness of limit k. A limit under which no draw fits has no point.
    """
    name = budget.limits[0][0] if budget.limits else 'params'
    least, most = (cost(architecture(c))[name] for c in (space.smallest(), space.largest()))
    bounds = limits(least, min([most, *(limit for n, limit in budget.limits if n == name)]), points)
    others = [pair for pair in budget.limits if pair[0] != name]
    members: list[Member] = []
    for k, bound in enumerate(bounds):
        tight = Budget((*others, (name, bound)))
        try:
            found = evolve(space, tight, cost, score, architecture, generator(k), settings)
        except UsageError:  # nothing fits: the smallest models of a space are rare draws
            continue
        members += found.members
    return Front(name, tuple(best_below(members, name, bounds)))
