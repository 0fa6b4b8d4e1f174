"""One search dimension: a grid of values, and the moves of Eq. 2 that shift it."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterable
from typing import Annotated, Self

import pydantic

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.settings import Bool, Float, Section

SMALLEST, LARGEST = 1e-6, 1_000_000  # values of a dimension
MOST_CHOICES = 1_000  # of a dimension
MOST_BLOCKS = 200  # the largest value of `depth`


def parse_name(name: str) -> tuple[str, int | None]:
    """A dimension's base name and its stage, counted from 0: `mlp_ratio_2` is ('mlp_ratio', 1).

    The stage is None for a name without a suffix, which stands for all stages. Nothing else reads
    the suffix.
    """
    match = re.fullmatch(r'(.+)_([1-9][0-9]*)', name)
    return (match[1], int(match[2]) - 1) if match else (name, None)


def staged(names: Iterable[str], base: str) -> tuple[str, ...]:
    """Those of `names` that are `base` of a single stage, in the order of the stages."""
    found = []
    for name in names:
        name_base, stage = parse_name(name)
        if name_base == base and stage is not None:
            found.append((stage, name))
    return tuple(name for _, name in sorted(found))


def _grid_value(value: float) -> int | float:
    """A value rounded to 6 places (int(50 * 2.3) is 114 otherwise); whole ones are ints."""
    value = round(float(value), 6)
    return int(value) if value == int(value) else value


def _steps(distance: float, step: float) -> int | None:
    """How many steps a distance is, or None where it is not a whole number of steps."""
    count = round(distance / step)
    return count if abs(count * step - distance) < 1e-6 else None


GridValue = Annotated[Float, pydantic.AfterValidator(_grid_value)]


class DimensionSettings(Section):
    """The grid lower, lower + step, …, upper of one dimension, and how far it may move."""

    lower: GridValue = pydantic.Field(
        ge=SMALLEST, le=LARGEST, description='smallest value', examples=[2]
    )
    upper: GridValue = pydantic.Field(
        ge=SMALLEST, le=LARGEST, description='largest value', examples=[4]
    )
    step: GridValue = pydantic.Field(
        ge=SMALLEST, le=LARGEST, description='distance between two values', examples=[1]
    )
    tau: GridValue | None = pydantic.Field(
        None,
        ge=SMALLEST,
        le=LARGEST,
        description='how far one move shifts both bounds, a multiple of step; None: one step',
        examples=[1],
    )
    floor: GridValue | None = pydantic.Field(
        None,
        ge=SMALLEST,
        le=LARGEST,
        description='no move takes lower below it; None: the smallest positive value of the grid',
        examples=[1],
    )
    ceiling: GridValue | None = pydantic.Field(
        None,
        ge=SMALLEST,
        le=LARGEST,
        description='no move takes upper above it; None: no ceiling',
        examples=[8],
    )
    per_block: Bool = pydantic.Field(False, description='whether each block has its own choice')

    @property
    def move(self) -> float:
        """tau or its default."""
        return self.step if self.tau is None else self.tau

    @property
    def lowest(self) -> float:
        """The floor or its default."""
        if self.floor is not None:
            return self.floor
        below = math.ceil(self.lower / self.step - 1e-9) - 1
        return _grid_value(self.lower - below * self.step)

    @pydantic.model_validator(mode='after')
    def _is_a_grid(self) -> Self:
        bounds = f'bounds {self.lower}..{self.upper}'
        if self.upper < self.lower:
            raise UsageError(f'{bounds} must be in order: make upper at least {self.lower}')
        choices = round((self.upper - self.lower) / self.step) + 1
        if choices > MOST_CHOICES:
            raise UsageError(
                f'{bounds} with step={self.step} have {choices:,} choices, more than '
                f'{MOST_CHOICES:,}; take a larger step or closer bounds'
            )
        if _steps(self.upper - self.lower, self.step) is None:
            nearest = _grid_value(self.lower + (choices - 1) * self.step)
            raise UsageError(
                f'upper={self.upper} is not on the grid of lower={self.lower} and '
                f'step={self.step}; the nearest value that is: {nearest}'
            )
        if not _steps(self.move, self.step):
            raise UsageError(f'tau={self.move} must be a positive multiple of step={self.step}')
        if self.lower < self.lowest or self.ceiling is not None and self.upper > self.ceiling:
            raise UsageError(
                f'{bounds} lie outside floor={self.lowest} and ceiling={self.ceiling}; widen those '
                'or narrow the bounds'
            )
        return self

    def dimension(self, name: str) -> 'Dimension':
        """The dimension of these settings, under its name in the space."""
        return Dimension(name, **dict(self))


@dataclasses.dataclass(frozen=True, init=False)
class Dimension:
    """One search dimension: the grid lower, lower + step, …, upper.

    `tau` is how far one move shifts both bounds (default: one step). No move takes `lower` below
    `floor` (default: the smallest positive value of the grid) or `upper` above `ceiling` (default:
    none). A per-block dimension is chosen anew in every block. A name that ends in `_2` belongs to
    the second stage alone. `depth` is a number of blocks.
    """

    name: str
    lower: float
    upper: float
    step: float
    tau: float
    floor: float
    ceiling: float | None
    per_block: bool

    def __init__(
        self,
        name: str,
        lower: float,
        upper: float,
        step: float,
        tau: float | None = None,
        floor: float | None = None,
        ceiling: float | None = None,
        per_block: bool = False,
    ):
        numbers = {'lower': lower, 'upper': upper, 'step': step}
        moves = {'tau': tau, 'floor': floor, 'ceiling': ceiling, 'per_block': per_block}
        where = f'space.{name}'
        checked = settings.read(DimensionSettings, numbers | moves, where)
        values = dict(checked) | {'name': name, 'tau': checked.move, 'floor': checked.lowest}
        for field, value in values.items():
            object.__setattr__(self, field, value)
        if self.upper > self._most:
            raise UsageError(
                f'{where}: upper={self.upper} blocks are too many; write at most {self._most:,}'
            )

    @functools.cached_property
    def values(self) -> tuple[int | float, ...]:
        """The choices, ascending."""
        count = round((self.upper - self.lower) / self.step) + 1
        return tuple(_grid_value(self.lower + k * self.step) for k in range(count))

    @functools.cached_property
    def base(self) -> str:
        """The name without the suffix of a stage."""
        return parse_name(self.name)[0]

    @functools.cached_property
    def stage(self) -> int | None:
        """The stage, counted from 0, that the name's suffix gives, or None for all stages."""
        return parse_name(self.name)[1]

    def nearest(self, value: float) -> int | float:
        """The value of the grid nearest to `value`, between floor and ceiling.

        A dimension of one choice has no other value.
        """
        if self.lower == self.upper:
            return _grid_value(self.lower)
        ceiling = min(self._most, self._most if self.ceiling is None else self.ceiling)
        least = math.ceil((self.floor - self.lower) / self.step - 1e-9)
        most = math.floor((ceiling - self.lower) / self.step + 1e-9)
        steps = math.floor((value - self.lower) / self.step + 0.5)
        return _grid_value(self.lower + max(least, min(most, steps)) * self.step)

    @property
    def _most(self) -> int:
        return MOST_BLOCKS if self.base == 'depth' else LARGEST

    def moved(self, steps: int) -> 'Dimension':
        """The dimension after `steps` moves of tau."""
        return _moved(self, steps)

    def obstacle(self, steps: int) -> str | None:
        """Why the dimension cannot make that many moves, or None where it can.

        A dimension with one choice is a user's decision: it stays.
        """
        lower, upper = self.lower + steps * self.tau, self.upper + steps * self.tau
        if steps and self.lower == self.upper:
            return f'{self.name} has one choice and stays'
        if lower < self.floor - 1e-9:
            return f'{self.name} would fall below its floor {self.floor}'
        if self.ceiling is not None and upper > self.ceiling + 1e-9:
            return f'{self.name} would rise above its ceiling {self.ceiling}'
        if upper > self._most:
            return f'{self.name} would rise above the largest value allowed, {self._most:,}'
        return None


@functools.lru_cache(10_000)  # the same few moves are made in thousands of neighbours
def _moved(dimension: Dimension, steps: int) -> Dimension:
    shift = steps * dimension.tau
    return dataclasses.replace(
        dimension, lower=dimension.lower + shift, upper=dimension.upper + shift
    )
