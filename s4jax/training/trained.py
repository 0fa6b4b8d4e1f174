"""What a training phase is given, writes down and returns."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from s4jax.search.space import Architecture, SearchSpace
from s4jax.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Record:
    """What a training phase writes down: what was trained, how, and a digest of the weights.

    `images` were trained on, and of them the share `over_budget` (0…1) with an architecture that is
    over the budget.
    """

    architecture: dict[str, Any]
    execution: str
    steps: int
    digest: str
    images: int
    over_budget: float

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> 'Record':
        return cls(**row)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model: its widest architecture, a digest of its variables, how to get them."""

    name: str
    arch: Any
    model: Any
    digest: str
    load: Callable[[], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Training:
    """What one phase trains: an architecture, how, on which images, and which subnet each step.

    `execution` is 'masked', 'sliced' or 'fixed'; `split` holds the images; `sizes(attempt, i)` and
    `describe(attempt, i)` are as in `training.fit.Steps`; `parent` is the supernet that the weights
    are inherited from, or `weights` a file of published ones. `drawn(i)` are the architectures of
    step i, and `space` that of a supernet.
    """

    name: str
    arch: Any
    execution: str
    recipe: Recipe
    split: Any
    sizes: Callable[[int, int], Any]
    describe: Callable[[int, int], str]
    drawn: Callable[[int], Sequence[Architecture]]
    parent: Trained | None = None
    weights: str | None = None
    space: SearchSpace | None = None
