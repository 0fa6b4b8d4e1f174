"""Search spaces: their dimensions, the choices drawn from them, and the neighbours of Eq. 2.

A point of a space is *choices*: dimension name -> value, or one value per block for a per-block
dimension. A family turns choices into its `Architecture`, the sizes that a model really has.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from s4jax.errors import UsageError
from s4jax.search.architecture import Architecture
from s4jax.search.dimension import Dimension, DimensionSettings, parse_name, staged

__all__ = [  # what a family and the phases of a run need of this folder
    'Architecture',
    'Choices',
    'Dimension',
    'DimensionSettings',
    'Gamma',
    'SearchSpace',
    'Stages',
    'choices_from_json',
    'parse_name',
    'per_block',
    'staged',
]

Choices = dict[str, Any]  # dimension name -> value, or one value per block
Gamma = tuple[int, ...]  # a direction: moves of tau, one number per dimension
Stages = tuple[tuple[int, str | None], ...]


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Dimensions, and how many blocks each stage has.

    `stages` holds (count, name) pairs: a stage has `count` times the value of the dimension `name`
    blocks, or `count` where the name is None.
    ViT: ((1, 'depth'),); Swin: ((2, None), (2, None), (1, 'depth'), (2, None)).
    """

    dimensions: tuple[Dimension, ...]
    stages: Stages

    def __post_init__(self):
        self._check_depths()
        self._check_stages()

    def _check_depths(self) -> None:
        depths = {name for _, name in self.stages if name is not None}
        for name in sorted(depths - set(self.names)):
            raise UsageError(
                f'space.{name} is missing: it gives a number of blocks; known: '
                f'{", ".join(self.names)}'
            )
        for d in self.dimensions:
            whole = all(isinstance(value, int) for value in (d.lower, d.step, d.floor))
            if d.name in depths and (d.per_block or not whole):
                raise UsageError(
                    f'space.{d.name} gives a number of blocks: lower, step and floor must be whole '
                    'numbers, and per_block False'
                )

    def _check_stages(self) -> None:
        """Each per-block dimension has values for every stage, once."""
        given: dict[str, list[int]] = collections.defaultdict(list)
        for d in self.dimensions:
            if d.per_block:
                given[d.base] += range(len(self.stages)) if d.stage is None else [d.stage]
        for name, stages in given.items():
            if sorted(stages) != list(range(len(self.stages))):
                raise UsageError(
                    f'space.{name} must be given once for each of {len(self.stages)} stages, by '
                    f'{name} for all or {name}_1, {name}_2, …; it is given for stages '
                    f'{[s + 1 for s in sorted(stages)]}'
                )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.dimensions)

    def blocks(self, dimension: Dimension, choices: Mapping[str, Any]) -> int:
        """How many values a per-block dimension has at the depths that `choices` name."""
        layout = self.layout(choices)
        return sum(layout[s] for s in self._stages_of(dimension))

    def layout(self, choices: Mapping[str, Any]) -> tuple[int, ...]:
        """Blocks per stage of the given choices."""
        return tuple(count * (1 if name is None else choices[name]) for count, name in self.stages)

    @functools.cached_property
    def full_layout(self) -> tuple[int, ...]:
        """Blocks per stage at the largest depth."""
        return self.layout(self._bounds('upper'))

    def _bounds(self, bound: Literal['lower', 'upper']) -> dict[str, Any]:
        return {dimension.name: getattr(dimension, bound) for dimension in self.dimensions}

    def _stages_of(self, dimension: Dimension) -> list[int]:
        return [s for s in range(len(self.stages)) if dimension.stage in (None, s)]

    def draw(self, rng: np.random.Generator) -> Choices:
        """Uniformly drawn choices, with per-block values for the largest depth.

        So any depth can be cut from them.
        """
        depths, choices = self._bounds('upper'), Choices()
        for dimension in self.dimensions:
            values = dimension.values
            if dimension.per_block:
                drawn = rng.integers(len(values), size=self.blocks(dimension, depths))
                choices[dimension.name] = tuple(values[i] for i in drawn)
            else:
                choices[dimension.name] = values[rng.integers(len(values))]
        return choices

    def resize(self, choices: Choices, had: tuple[int, ...], fresh: Choices) -> Choices:
        """`choices` whose per-block values were laid out as `had`, at the depths that they name.

        A stage that shrinks loses its last blocks; one that grows takes its new blocks from
        `fresh`, a draw at the largest depth.
        """
        wanted, full, result = self.layout(choices), self.full_layout, dict(choices)
        for dimension in self.dimensions:
            if not dimension.per_block:
                continue
            old, new = choices[dimension.name], fresh[dimension.name]
            parts, start, fresh_start = [], 0, 0
            for s in self._stages_of(dimension):
                kept = min(had[s], wanted[s])
                parts += old[start : start + kept]
                parts += new[fresh_start + kept : fresh_start + wanted[s]]
                start, fresh_start = start + had[s], fresh_start + full[s]
            result[dimension.name] = tuple(parts)
        return result

    def cut(self, draw: Choices) -> Choices:
        """A draw at the largest depth, cut to its own depth."""
        return self.resize(draw, self.full_layout, draw)

    def sample(self, rng: np.random.Generator) -> Choices:
        """Uniformly drawn choices of a uniformly drawn depth."""
        return self.cut(self.draw(rng))

    def uniform(
        self, bound: Literal['lower', 'upper'], given: Mapping[str, Any] | None = None
    ) -> Choices:
        """In every block that bound of each dimension, or the value that `given` has for it."""
        values = self._bounds(bound) | dict(given or {})
        return {
            d.name: (values[d.name],) * self.blocks(d, values) if d.per_block else values[d.name]
            for d in self.dimensions
        }

    def largest(self) -> Choices:
        """The upper bound of every dimension in every block: its size is M(A) of Eq. 4."""
        return self.uniform('upper')

    def smallest(self) -> Choices:
        """The lower bound of every dimension in every block."""
        return self.uniform('lower')

    def obstacle(self, gamma: Gamma) -> str | None:
        """Why no move along `gamma` exists, or None where one does.

        The reason is a floor, a ceiling, or a dimension of one choice.
        """
        found = (d.obstacle(steps) for d, steps in zip(self.dimensions, gamma, strict=True))
        return next((reason for reason in found if reason), None)

    def moved(self, gamma: Gamma) -> 'SearchSpace':
        """The space `gamma` steps of tau away in each dimension (Eq. 2)."""
        pairs = zip(self.dimensions, gamma, strict=True)
        moved = tuple(d.moved(steps) if steps else d for d, steps in pairs)
        return dataclasses.replace(self, dimensions=moved)

    def directions(self) -> Iterator[Gamma]:
        """All 3^n - 1 relative directions of Eq. 2, in lexicographic order."""
        return filter(any, itertools.product((-1, 0, 1), repeat=len(self.dimensions)))

    def contains(self, choices: Choices) -> bool:
        """Whether every value, block by block, is one of its dimension's."""
        for d in self.dimensions:
            chosen = choices[d.name] if d.per_block else (choices[d.name],)
            if not all(value in d.values for value in chosen):
                return False
        return True

    def to_json(self) -> dict[str, Any]:
        return {
            'stages': [list(stage) for stage in self.stages],
            'dimensions': [dataclasses.asdict(dimension) for dimension in self.dimensions],
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'SearchSpace':
        return cls(
            tuple(Dimension(**dimension) for dimension in row['dimensions']),
            tuple((count, name) for count, name in row['stages']),
        )

    def __str__(self) -> str:
        return ', '.join(
            f'{d.name} {d.lower}' + f'..{d.upper}' * (d.upper != d.lower) for d in self.dimensions
        )


def per_block(choices: Mapping[str, Any], base: str) -> tuple[Any, ...]:
    """The values of a per-block dimension, those of all stages in a row if given stage by stage."""
    names = (base,) if base in choices else staged(choices, base)
    return tuple(itertools.chain.from_iterable(choices[name] for name in names))


def choices_from_json(row: Mapping[str, Any]) -> Choices:
    """Choices as they were before JSON made lists of their tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
