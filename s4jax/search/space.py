"""Search spaces: dimensions on a grid, the choices drawn from them, and the neighbours of Eq. 2.

A point of a space is *choices*: dimension name -> value, or one value per block for a per-block dimension. A family
turns choices into its `Architecture`, the sizes that a model really has.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from s4jax.errors import UsageError

Choices = dict[str, Any]
Gamma = tuple[int, ...]
Stages = tuple[tuple[int, str | None], ...]


def parse_name(name: str) -> tuple[str, int | None]:
    """A dimension's base name and its stage, counted from 0: `mlp_ratio_2` is ('mlp_ratio', 1).

    The stage is None for a name without a suffix, which stands for all stages. Nothing else reads
    the suffix.
    """
    base, _, suffix = name.rpartition('_')
    return (base, int(suffix) - 1) if suffix.isdigit() else (name, None)


def staged(names: Iterable[str], base: str) -> tuple[str, ...]:
    """Those of `names` that are `base` of a single stage, in the order of the stages."""
    stages = {parse_name(name): name for name in names}
    return tuple(
        stages[key] for key in sorted(k for k in stages if k[0] == base and k[1] is not None)
    )


def _number(value: float) -> int | float:
    """Grid values are rounded to 6 places (int(50 * 2.3) is 114 otherwise), and whole ones are ints."""
    value = round(float(value), 6)
    return int(value) if value == int(value) else value


def _steps(distance: float, step: float) -> int | None:
    """How many whole steps a distance is, or None where it is not."""
    count = round(distance / step)
    return count if abs(count * step - distance) < 1e-6 else None


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One search dimension: the grid lower, lower + step, …, upper.

    `tau` is how far one move shifts both bounds (default one step); no move takes `lower` below `floor` (default: the
    smallest positive value of the grid) or `upper` above `ceiling` (default: none). A per-block dimension is chosen
    anew in every block. A name that ends in `_2` belongs to the second stage alone.
    """

    name: str
    lower: float
    upper: float
    step: float
    tau: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    per_block: bool = False

    def __post_init__(self):
        if self.step <= 0:
            raise UsageError(f'space.{self.name}: step={self.step} must be positive')
        if self.lower <= 0 or self.upper < self.lower:
            raise UsageError(
                f'space.{self.name}: bounds {self.lower}..{self.upper} must be positive and in order'
            )
        if _steps(self.upper - self.lower, self.step) is None:
            nearest = _number(self.lower + round((self.upper - self.lower) / self.step) * self.step)
            raise UsageError(
                f'space.{self.name}: upper={self.upper} is not on the grid of lower={self.lower} and '
                f'step={self.step}; the nearest value that is: {nearest}'
            )
        tau = self.step if self.tau is None else self.tau
        if tau <= 0 or _steps(tau, self.step) is None:
            raise UsageError(
                f'space.{self.name}: tau={tau} must be a positive multiple of step={self.step}'
            )
        below = int(np.ceil(self.lower / self.step - 1e-9)) - 1
        floor = self.lower - below * self.step if self.floor is None else self.floor
        ceiling = None if self.ceiling in (None, np.inf) else self.ceiling
        for name, value in dict(
            lower=self.lower,
            upper=self.upper,
            step=self.step,
            tau=tau,
            floor=floor,
            ceiling=ceiling,
        ).items():
            object.__setattr__(self, name, None if value is None else _number(value))
        if self.floor <= 0:
            raise UsageError(f'space.{self.name}: floor={self.floor} must be positive')
        if self.lower < self.floor or self.ceiling is not None and self.upper > self.ceiling:
            raise UsageError(
                f'space.{self.name}: bounds {self.lower}..{self.upper} lie outside floor={self.floor} and '
                f'ceiling={self.ceiling}'
            )

    @functools.cached_property
    def values(self) -> tuple[int | float, ...]:
        count = _steps(self.upper - self.lower, self.step) + 1
        return tuple(_number(self.lower + k * self.step) for k in range(count))

    @property
    def base(self) -> str:
        """The name without the suffix of a stage."""
        return parse_name(self.name)[0]

    @property
    def stage(self) -> int | None:
        """The stage, counted from 0, that the name's suffix gives, or None for all stages."""
        return parse_name(self.name)[1]

    @functools.lru_cache(10_000)
    def moved(self, steps: int) -> 'Dimension':
        """The dimension after `steps` moves of tau."""
        return dataclasses.replace(
            self, lower=self.lower + steps * self.tau, upper=self.upper + steps * self.tau
        )

    def obstacle(self, steps: int) -> str | None:
        """Why the dimension cannot move that far, or None where it can. One choice is a user's decision: it stays."""
        if steps and self.lower == self.upper:
            return f'{self.name} has one choice and stays'
        if self.lower + steps * self.tau < self.floor - 1e-9:
            return f'{self.name} would fall below its floor {self.floor}'
        if self.ceiling is not None and self.upper + steps * self.tau > self.ceiling + 1e-9:
            return f'{self.name} would rise above its ceiling {self.ceiling}'
        return None


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Dimensions, and how many blocks each stage has.

    `stages` holds (count, name) pairs: a stage has `count` times the value of the dimension `name` blocks, or `count`
    where the name is None. ViT: ((1, 'depth'),); Swin: ((2, None), (2, None), (1, 'depth'), (2, None)).
    """

    dimensions: tuple[Dimension, ...]
    stages: Stages

    def __post_init__(self):
        depths = {name for _, name in self.stages} - {None}
        for name in sorted(depths - set(self.names)):
            raise UsageError(
                f'space.{name} is missing: it gives a number of blocks; known: {", ".join(self.names)}'
            )
        given = collections.defaultdict(list)
        for d in self.dimensions:
            if d.name in depths and (
                d.per_block or not all(isinstance(v, int) for v in (d.lower, d.step, d.floor))
            ):
                raise UsageError(
                    f'space.{d.name} gives a number of blocks: lower, step and floor must be whole, and '
                    'per_block False'
                )
            if d.per_block:
                given[d.base] += self._stages_of(d) or [d.stage]
        for name, stages in given.items():
            if sorted(stages) != list(range(len(self.stages))):
                raise UsageError(
                    f'space.{name} must be given once for each of {len(self.stages)} stages, by {name} '
                    f'for all or {name}_1, {name}_2, …; it is for {[s + 1 for s in sorted(stages)]}'
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

    @property
    def full_layout(self) -> tuple[int, ...]:
        """Blocks per stage at the largest depth."""
        return self.layout(self._bounds('upper'))

    def _bounds(self, bound: str) -> dict[str, float]:
        return {dimension.name: getattr(dimension, bound) for dimension in self.dimensions}

    def _stages_of(self, dimension: Dimension) -> list[int]:
        return [s for s in range(len(self.stages)) if dimension.stage in (None, s)]

    def draw(self, rng: np.random.Generator) -> Choices:
        """A uniform draw with per-block values for the largest depth, so that any depth can be cut from it."""
        depths, choices = self._bounds('upper'), {}
        for dimension in self.dimensions:
            values = dimension.values
            if dimension.per_block:
                drawn = rng.integers(len(values), size=self.blocks(dimension, depths))
                choices[dimension.name] = tuple(values[i] for i in drawn)
            else:
                choices[dimension.name] = values[rng.integers(len(values))]
        return choices

    def resize(
        self, choices: Choices, had: tuple[int, ...], fresh: Choices | None = None
    ) -> Choices:
        """`choices` whose per-block values were laid out as `had`, cut to the depths that they name.

        A stage that has grown takes its new blocks from `fresh`, a draw at the largest depth.
        """
        wanted, full, result = self.layout(choices), self.full_layout, dict(choices)
        for dimension in filter(lambda d: d.per_block, self.dimensions):
            parts, start, fresh_start = [], 0, 0
            for s in self._stages_of(dimension):
                part = choices[dimension.name][start : start + had[s]][: wanted[s]]
                if len(part) < wanted[s]:
                    part += fresh[dimension.name][fresh_start + len(part) : fresh_start + wanted[s]]
                parts += part
                start, fresh_start = start + had[s], fresh_start + full[s]
            result[dimension.name] = tuple(parts)
        return result

    def cut(self, draw: Choices) -> Choices:
        """A draw at the largest depth, cut to its own depth."""
        return self.resize(draw, self.full_layout)

    def sample(self, rng: np.random.Generator) -> Choices:
        return self.cut(self.draw(rng))

    def uniform(self, bound: str, given: Mapping[str, Any] | None = None) -> Choices:
        """In every block the bound 'lower' or 'upper' of each dimension, or the value that `given` has for it."""
        values = self._bounds(bound) | (given or {})
        layout = self.layout(values)
        return {
            d.name: (values[d.name],) * sum(layout[s] for s in self._stages_of(d))
            if d.per_block
            else values[d.name]
            for d in self.dimensions
        }

    def largest(self) -> Choices:
        """The upper bound of every dimension in every block: its size is M(A) of Eq. 4."""
        return self.uniform('upper')

    def smallest(self) -> Choices:
        return self.uniform('lower')

    def obstacle(self, gamma: Gamma) -> str | None:
        """Why no move along `gamma` exists (a floor, a ceiling, a dimension of one choice), or None where one does."""
        return next(
            filter(
                None, (d.obstacle(steps) for d, steps in zip(self.dimensions, gamma, strict=True))
            ),
            None,
        )

    def moved(self, gamma: Gamma) -> 'SearchSpace':
        """The space `gamma` steps of tau away in each dimension (Eq. 2)."""
        return dataclasses.replace(
            self,
            dimensions=tuple(
                d.moved(steps) if steps else d
                for d, steps in zip(self.dimensions, gamma, strict=True)
            ),
        )

    def directions(self) -> Iterator[Gamma]:
        """All 3^n - 1 relative directions of Eq. 2, in lexicographic order."""
        return filter(any, itertools.product((-1, 0, 1), repeat=len(self.dimensions)))

    def contains(self, choices: Choices) -> bool:
        blocks = {
            d.name: choices[d.name] if d.per_block else (choices[d.name],) for d in self.dimensions
        }
        return all(value in d.values for d in self.dimensions for value in blocks[d.name])

    def to_json(self) -> dict:
        return {
            'stages': [list(stage) for stage in self.stages],
            'dimensions': [dataclasses.asdict(dimension) for dimension in self.dimensions],
        }

    @classmethod
    def from_json(cls, data: dict) -> 'SearchSpace':
        return cls(
            tuple(Dimension(**row) for row in data['dimensions']),
            tuple((count, name) for count, name in data['stages']),
        )

    def __str__(self) -> str:
        return ', '.join(
            f'{d.name} {d.lower}' + f'..{d.upper}' * (d.upper != d.lower) for d in self.dimensions
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of one model: a family adds its own fields. Equal architectures are equal keys."""

    image_size: int
    channels: int = 3
    classes: int

    MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, tuple(value) if isinstance(value, list) else value)
            values = value if isinstance(value, list | tuple) else (value,)
            if not all(
                isinstance(v, int | float | np.number)
                and (v > 0 or v == 0 and field.name in self.MAY_BE_ZERO)
                for v in values
            ):
                raise UsageError(f'architecture: {field.name}={value!r} must be positive')

    def to_json(self) -> dict:
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Architecture':
        """An architecture from a row of JSON; keys that only describe the row are passed over."""
        described = {'family', 'params', 'macs', 'note'}
        known = {field.name for field in dataclasses.fields(cls)}
        required = {
            field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING
        }
        unknown, missing = sorted(set(row) - known - described), sorted(required - set(row))
        if unknown or missing:
            raise UsageError(
                f'architecture: unknown {unknown}, missing {missing}; it has {sorted(known)}'
            )
        return cls(**{name: value for name, value in row.items() if name in known})


def per_block(choices: Mapping[str, Any], base: str) -> tuple[Any, ...]:
    """The values of a per-block dimension; given stage by stage, those of all stages in a row."""
    names = (base,) if base in choices else staged(choices, base)
    return tuple(itertools.chain.from_iterable(choices[name] for name in names))


def choices_from_json(row: Mapping[str, Any]) -> Choices:
    """Choices as they were before JSON made lists of their tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
