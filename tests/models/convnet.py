"""A family of one's own in one file: a convolutional network, elastic in width, depth, expansion.

docs/family.md shows it, and `test_family.py` searches it.
"""

import dataclasses
from typing import Annotated, Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from pydantic import Field

from s4jax import elastic
from s4jax.elastic import Conv, LayerNorm, Linear, PerBlock, Size
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import Choices, Stages, per_block
from s4jax.settings import Float, Int

SEARCHED = ('embed_dim', 'depth', 'expansion')  # the dimensions that config.space may have


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(BaseArchitecture):  # has image_size, channels and classes already
    patch: Annotated[Int, Field(ge=1, le=64, description='side of a patch, in pixels')] = 2
    embed_dim: Annotated[Int, Field(ge=1, le=4096, description='width of the network, in channels')]
    depth: Annotated[Int, Field(ge=1, le=100, description='number of blocks')]
    expansion: Annotated[  # one value per block
        tuple[Annotated[Float, Field(gt=0, le=16)], ...],
        Field(description='channels inside each block, in multiples of embed_dim'),
    ]

    @property
    def hidden(self) -> tuple[int, ...]:
        return tuple(int(self.embed_dim * ratio) for ratio in self.expansion)


class Sizes(NamedTuple):  # a field `depth` is the number of blocks
    embed_dim: Size
    depth: Size
    hidden: PerBlock


def stages(names: tuple[str, ...]) -> Stages:  # one stage of 1 · depth blocks
    return ((1, 'depth'),)


def architecture(choices: Choices, **inputs: Any) -> Architecture:
    expansion = per_block(choices, 'expansion')
    sizes = dict(embed_dim=choices['embed_dim'], depth=choices['depth'], expansion=expansion)
    return Architecture(**sizes, **inputs)


def stock(**inputs: Any) -> dict[str, float]:  # scaled where a config gives no hand-made model
    return dict(embed_dim=64, depth=6, expansion=2)


def sizes_of(arch: Architecture) -> Sizes:
    return Sizes(arch.embed_dim, arch.depth, arch.hidden)


def params(arch: Architecture) -> int:
    d, inputs = arch.embed_dim, arch.channels * arch.patch**2
    blocks = sum(2 * d + h * (9 * d + 1) + d * (h + 1) for h in arch.hidden)
    return d * (inputs + 1) + arch.classes * (d + 1) + blocks


def macs(arch: Architecture) -> int:
    d, places = arch.embed_dim, (arch.image_size // arch.patch) ** 2
    blocks = sum(places * 10 * d * h for h in arch.hidden)
    return places * d * arch.channels * arch.patch**2 + arch.classes * d + blocks


def decays(path: tuple[str, ...]) -> bool:  # weight decay
    return path[-1] not in ('bias', 'scale')


class Block(nn.Module):  # written once: sizes are ints (slices) or traced (masks)
    width: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, embed_dim: Size, hidden: Size
    ) -> jax.Array:
        factor = 1 if keep is None else keep.astype(self.dtype)[0][:, None, None, None]
        y = LayerNorm((self.width,), 1e-6, self.dtype, name='norm')(x, embed_dim)
        y = nn.gelu(Conv(3, 1, self.width, self.hidden, self.dtype, name='conv')(y, hidden))
        y = Linear((self.hidden,), (self.width,), self.dtype, name='out')(y, embed_dim)
        return x + factor * y


class Model(nn.Module):
    arch: Architecture
    dtype: Any = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self, images: jax.Array, sizes: Any = None, key: jax.Array | None = None
    ) -> jax.Array:  # a key means training
        arch, width, patch = self.arch, self.arch.embed_dim, self.arch.patch
        sizes = sizes_of(arch) if sizes is None else elastic.resolve(sizes)
        keep = None
        if key is not None and self.drop_path:
            keep = elastic.drop_path(key, self.drop_path, arch.depth, len(images), branches=1)
        inputs = (patch, patch, arch.channels)
        embed = Linear(inputs, (width,), self.dtype, name='patch')
        x = embed(elastic.patches(images, patch), sizes.embed_dim)

        def block(hidden: int) -> Block:
            return Block(width, hidden, self.dtype, parent=None)

        shared, own = ((width, sizes.embed_dim),), ((arch.hidden, sizes.hidden),)
        x = elastic.blocks(self, block, x, sizes.depth, keep, shared, own)
        head = Linear((width,), (arch.classes,), jnp.float32, name='head')
        return head(jnp.mean(x, (1, 2)), None)
