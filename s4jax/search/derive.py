"""The hand-made model where a config gives none: a stock shape, scaled evenly to fit the budget.

A family's stock shape is that of a well-known model, such as DeiT-S: width 384, 12 blocks. Scaled
evenly, width, depth and heads all grow or shrink by the same factor; MLP ratios stay.
"""

import bisect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from s4jax.search.budget import Budget, Costs
from s4jax.search.space import Architecture, Choices, SearchSpace

A = TypeVar('A', bound=Architecture)
SCALES = np.geomspace(1 / 64, 8, 2000)  # the largest ViT of these has 11G parameters
KEPT = ('mlp_ratio',)  # already multiples of a width

Stock = Mapping[str, float | tuple[float, ...]]


def hand_made(
    space: SearchSpace,
    stock: Stock,
    budget: Budget,
    architecture: Callable[[Choices], A],
    cost: Callable[[A], Costs],
) -> A:
    """The largest evenly scaled architecture that fits the budget, by exact costs.

    `stock` has a value for the base name of every dimension; of `depth` it may have one for each
    stage. Values are brought onto the grid of each dimension, between its floor and its ceiling; a
    dimension of one choice keeps it. Where not even the smallest of them fits, the other sizes
    (MLP ratios) shrink, too. Without a budget it is the stock shape itself. Costs must not fall
    where a dimension grows.
    """
    if not budget.limits:
        return architecture(scaled(space, stock, 1.0))

    def over(scale: float, kept: tuple[str, ...]) -> bool:
        arch = architecture(scaled(space, stock, scale, kept))
        return not budget.fits(cost(arch))

    for kept in (KEPT, ()):
        count = bisect.bisect_left(SCALES, True, key=lambda scale: over(scale, kept))
        if count:
            return architecture(scaled(space, stock, SCALES[count - 1], kept))
    return architecture(scaled(space, stock, 0.0, ()))  # every dimension at its floor


def scaled(space: SearchSpace, stock: Stock, scale: float, kept: tuple[str, ...] = KEPT) -> Choices:
    """The stock shape times `scale`, but for the sizes in `kept`, as choices of the space."""
    values: dict[str, Any] = {}
    for dimension in space.dimensions:
        value = stock[dimension.base]
        if dimension.base == 'depth':
            value = _blocks(space, dimension.name, value)
        assert isinstance(value, int | float)
        values[dimension.name] = dimension.nearest(value * (1 if dimension.base in kept else scale))
    return space.uniform('lower', values)


def _blocks(space: SearchSpace, name: str, depth: float | tuple[float, ...]) -> float:
    """The stock value of the depth `name`, from the number of blocks of each stage, or of all."""
    stage, count = next((s, n) for s, (n, depth_of) in enumerate(space.stages) if depth_of == name)
    blocks = depth[min(stage, len(depth) - 1)] if isinstance(depth, tuple) else depth
    return blocks / (count if isinstance(depth, tuple) else len(space.stages))
