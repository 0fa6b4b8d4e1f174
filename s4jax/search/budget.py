"""Budgets: upper limits on named costs of an architecture."""

import dataclasses
from collections.abc import Mapping

import pydantic

from s4jax.settings import Float, Section

Costs = Mapping[str, float]
LARGEST = 1e15


def readable(value: float) -> str:
    """5867944 as 5.868M."""
    for unit, scale in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if abs(value) >= scale:
            return f'{value / scale:.4g}{unit}'
    return f'{value:.4g}'


def exact(value: float) -> str:
    """A count with all its digits, 5,867,944; of what is measured four: 1.235."""
    return f'{value:,.0f}' if value == int(value) else f'{value:,.4g}'


class BudgetSettings(Section):
    """The limits on an architecture's costs; all that are given must hold."""

    params: Float | None = pydantic.Field(
        None, gt=0, le=LARGEST, description='most parameters; None: no limit', examples=['25M']
    )
    macs: Float | None = pydantic.Field(
        None,
        gt=0,
        le=LARGEST,
        description='most multiply-accumulates of one image; None: no limit',
        examples=['5G'],
    )
    latency_ms: Float | None = pydantic.Field(
        None,
        gt=0,
        le=1e6,
        description='most milliseconds of a batch on this device, as the sum over its blocks (see '
        'config.latency); None: no limit',
        examples=[2.5],
    )
    own: Float | None = pydantic.Field(
        None,
        gt=0,
        le=LARGEST,
        description='most of what the function in config.cost.file gives; None: no limit',
    )


class CostSettings(Section):
    """A cost of the user's own."""

    file: str | None = pydantic.Field(
        None,
        min_length=1,
        description='a Python file with `cost(architecture) -> number`, which budget.own limits',
        examples=['phone.py'],
    )


@dataclasses.dataclass(frozen=True)
class Budget:
    """(name, limit) pairs, e.g. (('params', 30e6), ('macs', 5e9)); all of them must hold."""

    limits: tuple[tuple[str, float], ...]

    @classmethod
    def create(cls, settings: BudgetSettings) -> 'Budget':
        """The limits that are given, in the order of the keys."""
        return cls(tuple((name, limit) for name, limit in settings if limit is not None))

    def limited(self, costs: Costs) -> list[float]:
        """The costs that have a limit, in the order of the limits."""
        return [costs[name] for name, _ in self.limits]

    def excess(self, costs: Costs, strict: bool = False) -> str | None:
        """Why the costs do not fit, or None where they do.

        A space is held strictly below the budget by its largest architecture (Eq. 4: `strict`), a
        single architecture may meet it (Eq. 1).
        """
        for name, limit in self.limits:
            cost = costs[name]
            if cost > limit:
                return f'{name} {cost:,.15g} over {limit:,.15g}'
            if strict and cost == limit:
                return f'{name} {cost:,.15g} not below {limit:,.15g}'
        return None

    def fits(self, costs: Costs, strict: bool = False) -> bool:
        """Whether the costs are within all limits; `strict` as in `excess`."""
        return self.excess(costs, strict) is None

    def beside(self, costs: Costs) -> str:
        """Each cost that has a limit, with its limit, as text."""
        return ', '.join(
            f'{name} {costs[name]:,.15g} (budget {limit:,.15g})' for name, limit in self.limits
        )

    def __str__(self) -> str:
        return ', '.join(f'{name} {readable(limit)}' for name, limit in self.limits) or 'no limit'
