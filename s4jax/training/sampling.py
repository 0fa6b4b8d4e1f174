"""Which subnet a supernet's step trains: drawn from the space, as sizes that the step can run."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from s4jax import elastic
from s4jax.runtime import seeds
from s4jax.search.space import Architecture, Choices, SearchSpace
from s4jax.training.recipe import Recipe

LONG, LARGE = 1000, 1e6  # steps and parameters from which slicing pays for its compilations


def execution(recipe: Recipe, images: int, params: int, wanted: str) -> str:
    """'masked' or 'sliced': what is `wanted`, or for 'auto' what pays.

    A sliced step is compiled once for every width: too much for tiny models and short runs.
    """
    if recipe.together > 1:
        return 'masked'
    if wanted != 'auto':
        return wanted
    return 'sliced' if recipe.steps(images) >= LONG and params >= LARGE else 'masked'


def sampler(
    space: SearchSpace, seed: int, name: str, count: int = 1, sandwich: bool = False
) -> Callable[[int, int], tuple[Choices, ...]]:
    """`sampled(attempt, i)`: the `count` choices that step i of the training `name` trains.

    They are drawn uniformly; in a sandwich the first two are the largest and the smallest.
    """
    ends = (space.largest(), space.smallest()) if sandwich else ()

    @functools.lru_cache(1024)
    def sampled(attempt: int, i: int) -> tuple[Choices, ...]:
        rng = seeds.generator(seed, name, attempt, i)
        return *ends, *(space.sample(rng) for _ in range(count - len(ends)))

    return sampled


def sizes_maker(
    space: SearchSpace,
    architecture: Callable[[Choices], Architecture],
    sizes_of: Callable[[Any], Any],
    execution: str,
) -> Callable[[Choices], Any]:
    """What turns choices into the sizes that the supernet's step runs.

    They are masked, or sliced with a switch in every block.
    """
    widest = sizes_of(architecture(space.largest()))
    per_block = [dimension for dimension in space.dimensions if dimension.per_block]

    @functools.lru_cache(1024)
    def options(shared: tuple[tuple[str, Any], ...]) -> Any:
        """All values of each per-block size where the other dimensions have the values `shared`."""
        first, each = dict(shared), []
        first |= {d.name: (d.values[0],) * space.blocks(d, first) for d in per_block}
        # a block's sizes depend on the dimensions of its own stage alone
        for stage in range(len(space.stages)):
            own = [d for d in per_block if d.stage in (None, stage)]
            for values in itertools.product(*(d.values for d in own)):
                here = {d.name: (value,) * len(first[d.name]) for d, value in zip(own, values)}
                each.append(first | here)
        return elastic.options([sizes_of(architecture(choices)) for choices in each])

    def make(choices: Choices) -> Any:
        sizes = sizes_of(architecture(choices))
        if execution == 'masked':
            return elastic.masked(sizes, widest)
        shared = tuple((d.name, choices[d.name]) for d in space.dimensions if not d.per_block)
        return elastic.switched(sizes, options(shared), widest)

    return make


def together(make: Callable[[Choices], Any], choices: Sequence[Choices]) -> Any:
    """The sizes of a step: of one architecture, or of several, stacked."""
    each = [make(one) for one in choices]
    return each[0] if len(each) == 1 else elastic.stacked(each)
