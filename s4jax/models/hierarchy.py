"""What the hierarchical families share: stages, each twice as wide as the one before, with a fixed number of heads."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import Choices, Stages, staged


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(BaseArchitecture):
    """A family adds `embed_dim`, `depths`, its tuples PER_STAGE, and `mlp_ratio` with one value per block."""

    PER_STAGE: ClassVar[tuple[str, ...]] = ('num_heads',)

    def __post_init__(self):
        super().__post_init__()
        given = {name: getattr(self, name) for name in self.PER_STAGE}
        if {len(values) for values in given.values()} != {len(self.depths)} or len(
            self.mlp_ratio
        ) != sum(self.depths):
            told = ''.join(f'{name}, not {values}, and ' for name, values in given.items())
            raise UsageError(
                f'architecture: depths={self.depths} need as many {told}{sum(self.depths)} mlp_ratio, not '
                f'{len(self.mlp_ratio)}'
            )
        for width, heads in zip(self.widths, self.num_heads):
            if width % heads:
                raise UsageError(
                    f'embed_dim={self.embed_dim} makes a stage {width} wide, which num_heads={heads} does not '
                    'divide: take values of embed_dim (lower and step) that keep every head whole'
                )

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.embed_dim * 2**i for i in range(len(self.depths)))


class Stage(NamedTuple):
    """The sizes of one stage: its number of blocks and, per block, the hidden width."""

    depth: Any
    hidden: Any


class Sizes(NamedTuple):
    """What the forward pass needs of an architecture: see `elastic` for the kinds of size."""

    embed_dim: Any
    stages: tuple[Stage, ...]


def sizes_of(arch: Architecture) -> Sizes:
    ends = np.cumsum(arch.depths)
    return Sizes(
        arch.embed_dim,
        tuple(
            Stage(depth, tuple(int(width * ratio) for ratio in arch.mlp_ratio[end - depth : end]))
            for depth, width, end in zip(arch.depths, arch.widths, ends)
        ),
    )


def stages(names: tuple[str, ...], usual: Stages) -> Stages:
    """The `usual` stages; or, where there are dimensions `depth_1`, `depth_2`, …, as many stages of as many blocks."""
    return tuple((1, name) for name in staged(names, 'depth')) or usual


def depths(choices: Choices, usual: Stages) -> tuple[int, ...]:
    """The number of blocks of every stage."""
    return tuple(
        count * (choices[name] if name else 1) for count, name in stages(tuple(choices), usual)
    )


def drop_path(
    key: jax.Array | None, rate: float, depths: tuple[int, ...], batch: int
) -> list[jax.Array | None]:
    """Stochastic depth's factors of every stage, linear over all blocks; None without a key (no training) or a rate."""
    if key is None or rate == 0:
        return [None] * len(depths)
    return jnp.split(elastic.drop_path(key, rate, sum(depths), batch), np.cumsum(depths)[:-1])
