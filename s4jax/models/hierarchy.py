"""What the hierarchical families share.

A model has stages, each twice as wide as the one before, with a fixed number of heads.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s4jax import elastic
from s4jax.elastic import PerBlock, Size
from s4jax.errors import UsageError
from s4jax.models.fields import check_hidden
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import Choices, Stages, per_block, staged


class Architecture(BaseArchitecture):
    """The rules of these families. Each declares the fields itself, in the order of its JSON.

    `mlp_ratio` holds one value per block; the fields named in PER_STAGE hold one per stage.
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    mlp_ratio: tuple[float, ...]

    PER_STAGE: ClassVar[tuple[str, ...]] = ('num_heads',)

    def __post_init__(self) -> None:
        super().__post_init__()
        stages, blocks = len(self.depths), sum(self.depths)
        for name in self.PER_STAGE:
            values = getattr(self, name)
            if len(values) != stages:
                raise UsageError(
                    f'architecture: depths={self.depths} need {stages} values of {name}, not '
                    f'{len(values)}'
                )
        if len(self.mlp_ratio) != blocks:
            raise UsageError(
                f'architecture: depths={self.depths} need {blocks} values of mlp_ratio, not '
                f'{len(self.mlp_ratio)}'
            )
        for width, heads in zip(self.widths, self.num_heads):
            if width % heads:
                raise UsageError(
                    f'embed_dim={self.embed_dim} makes a stage {width} wide, which num_heads='
                    f'{heads} does not divide: take values of embed_dim (lower and step) that '
                    'keep every head whole'
                )
        check_hidden(self.mlp_ratio, sum(self.hidden, ()))

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each stage."""
        return tuple(self.embed_dim * 2**i for i in range(len(self.depths)))

    @property
    def hidden(self) -> tuple[tuple[int, ...], ...]:
        """The width inside the MLP of each block, stage by stage."""
        ratios = iter(self.mlp_ratio)
        return tuple(
            tuple(int(width * next(ratios)) for _ in range(depth))
            for width, depth in zip(self.widths, self.depths)
        )


class Stage(NamedTuple):
    """The sizes of one stage: its number of blocks and the hidden width of each."""

    depth: Size
    hidden: PerBlock


class Sizes(NamedTuple):
    """What the forward pass needs of an architecture: see `elastic` for the kinds of size."""

    embed_dim: Size
    stages: tuple[Stage, ...]


def sizes_of(arch: Architecture) -> Sizes:
    """The sizes of one architecture, as ints."""
    return Sizes(arch.embed_dim, tuple(map(Stage, arch.depths, arch.hidden)))


def stages(names: tuple[str, ...], usual: Stages) -> Stages:
    """One stage for each of the dimensions `depth_1`, `depth_2`, …, with that number of blocks.

    Where there are none, the `usual` stages.
    """
    return tuple((1, name) for name in staged(names, 'depth')) or usual


def fields(choices: Choices, usual: Stages) -> dict[str, Any]:
    """The fields of an architecture that a point of a space gives."""
    depths = (
        count * (choices[name] if name else 1) for count, name in stages(tuple(choices), usual)
    )
    return dict(
        embed_dim=choices['embed_dim'],
        depths=tuple(depths),
        mlp_ratio=per_block(choices, 'mlp_ratio'),
    )


def drop_path(
    key: elastic.DropKey | None, rate: float, depths: tuple[int, ...], batch: int
) -> Sequence[jax.Array | None]:
    """Stochastic depth's factors of every stage, each (blocks, 2, batch), linear over all blocks.

    None for every stage without a key (no training) or a rate.
    """
    if key is None or rate == 0:
        return [None] * len(depths)
    return jnp.split(elastic.drop_path(key, rate, sum(depths), batch), np.cumsum(depths)[:-1])
