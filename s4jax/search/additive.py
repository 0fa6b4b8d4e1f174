"""Costs that are sums over the stages: the rows of all directions from the rows of a few.

Where dimensions belong to single stages, the 3^n directions are too many to cost each space. A
*row* describes one direction by numbers that add up: what its caller needs, then the limited costs.
While the dimensions of no stage are held, a direction's row is the sum of what each stage adds.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from s4jax.errors import UsageError
from s4jax.search.budget import Budget
from s4jax.search.space import Gamma, SearchSpace


def stage_tables(
    space: SearchSpace,
    options: Sequence[Sequence[int]],
    base: Gamma,
    row: Callable[[Gamma], np.ndarray],
) -> Iterator[list[np.ndarray]]:
    """Tables (row length, directions): each row is the sum of one column of every table.

    They cover all directions that `options` allows, `base` among them. For each choice of the
    dimensions of no stage come: a table of one column, the row of that choice where all others are
    at `base`, and for each stage a table of what the choices of its dimensions add.
    """
    dimensions = space.dimensions

    def directions(stage: int | None, gamma: Gamma) -> Iterator[Gamma]:
        """`gamma` with all options of the dimensions of one stage."""
        return itertools.product(
            *(
                options[k] if dimension.stage == stage else (gamma[k],)
                for k, dimension in enumerate(dimensions)
            )
        )

    stages = sorted({d.stage for d in dimensions if d.stage is not None})
    for gamma in directions(None, base):
        tables = [row(gamma)[:, None]]
        for stage in stages:
            tables.append(np.stack([row(g) for g in directions(stage, gamma)], 1) - tables[0])
        last = tuple(
            g if d.stage is None else allowed[-1]
            for g, d, allowed in zip(gamma, dimensions, options)
        )
        added = np.sum([table[:, -1] for table in tables], axis=0)
        if stages and not np.allclose(added, row(last), rtol=1e-9):
            raise UsageError(
                'a cost in the budget is not a sum over the stages of the space, so dimensions '
                'of single stages cannot be searched: give all stages the same dimensions, or '
                'take the cost out of the budget'
            )
        yield tables


def sums(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Every column of the one plus every column of the other: (rows, columns · columns)."""
    return (one[:, :, None] + other[:, None]).reshape(len(one), -1)


def limits(budget: Budget) -> np.ndarray:
    """(limits, 1), less the rounding of sums of costs: whole numbers below 1e14 compare exactly."""
    return np.array([limit for _, limit in budget.limits], float)[:, None] * (1 - 1e-14)
