"""Budgets: upper limits on named costs of an architecture."""

import dataclasses
from collections.abc import Mapping

from s4jax.errors import UsageError

Costs = Mapping[str, float]


def readable(value: float) -> str:
    """5867944 as 5.868M."""
    for unit, scale in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if abs(value) >= scale:
            return f'{value / scale:.4g}{unit}'
    return f'{value:.4g}'


@dataclasses.dataclass(frozen=True)
class Budget:
    """(name, limit) pairs, e.g. (('params', 30e6), ('macs', 5e9)); all of them must hold."""

    limits: tuple[tuple[str, float], ...]

    @classmethod
    def create(cls, known: tuple[str, ...], **limits: float | None) -> 'Budget':
        """The limits that are set; `known` names the costs that can be measured."""
        for name, limit in limits.items():
            if name not in known:
                raise UsageError(f'budget.{name} is not a cost; known: {", ".join(known)}')
            if limit is not None and not limit > 0:
                raise UsageError(f'budget.{name}={limit} must be positive')
        return cls(tuple((name, limit) for name, limit in limits.items() if limit is not None))

    def limited(self, costs: Costs) -> list[float]:
        """The costs that have a limit, in the order of the limits."""
        return [costs[name] for name, _ in self.limits]

    def excess(self, costs: Costs, strict: bool = False) -> str | None:
        """Why the costs do not fit, or None where they do.

        A space is held strictly below the budget by its largest architecture (Eq. 4: `strict`), a single architecture
        may meet it (Eq. 1).
        """
        for name, limit in self.limits:
            if costs[name] > limit or (strict and costs[name] == limit):
                return f'{name} {costs[name]:,.15g} {"over" if costs[name] > limit else "not below"} {limit:,.15g}'
        return None

    def fits(self, costs: Costs, strict: bool = False) -> bool:
        return self.excess(costs, strict) is None

    def beside(self, costs: Costs) -> str:
        """The costs that have a limit, each beside it."""
        return ', '.join(
            f'{name} {costs[name]:,.15g} (budget {limit:,.15g})' for name, limit in self.limits
        )

    def __str__(self) -> str:
        return ', '.join(f'{name} {readable(limit)}' for name, limit in self.limits) or 'no limit'
