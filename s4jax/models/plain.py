"""What families of equally wide blocks share; heads and MLP ratio are chosen block by block."""

from typing import Any, NamedTuple

from s4jax.elastic import PerBlock, Size
from s4jax.errors import UsageError
from s4jax.models.fields import check_hidden
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import Choices, per_block


class Architecture(BaseArchitecture):
    """The rules of these families. Each declares the fields itself, in the order of its JSON."""

    patch: int
    embed_dim: int
    depth: int
    num_heads: tuple[int, ...]
    mlp_ratio: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.num_heads) == len(self.mlp_ratio) == self.depth:
            raise UsageError(
                f'architecture: depth={self.depth} needs as many num_heads and mlp_ratio, not '
                f'{len(self.num_heads)} and {len(self.mlp_ratio)}'
            )
        if self.image_size % self.patch:
            raise UsageError(
                f'image_size={self.image_size} is not a multiple of patch={self.patch}'
            )
        check_hidden(self.mlp_ratio, self.hidden)

    @property
    def grid(self) -> int:
        """The number of patches along a side of the image."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """The number of tokens: the patches and the class token."""
        return self.grid**2 + 1

    @property
    def token_dim(self) -> int:
        """The width of a token between the blocks."""
        return self.embed_dim

    @property
    def hidden(self) -> tuple[int, ...]:
        """The width inside the MLP of each block."""
        return tuple(int(self.token_dim * ratio) for ratio in self.mlp_ratio)


class Sizes(NamedTuple):
    """What the forward pass needs of an architecture: see `elastic` for the kinds of size."""

    embed_dim: Size
    depth: Size
    num_heads: PerBlock
    hidden: PerBlock


def sizes_of(arch: Architecture) -> Sizes:
    """The sizes of one architecture, as ints."""
    return Sizes(arch.embed_dim, arch.depth, arch.num_heads, arch.hidden)


def fields(choices: Choices) -> dict[str, Any]:
    """The fields of an architecture that a point of a space gives."""
    num_heads = per_block(choices, 'num_heads')
    return dict(
        embed_dim=choices['embed_dim'],
        depth=len(num_heads),
        num_heads=num_heads,
        mlp_ratio=per_block(choices, 'mlp_ratio'),
    )
