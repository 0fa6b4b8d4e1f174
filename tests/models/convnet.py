"""A family of one's own, in one file: a small convolutional network, elastic in width, depth and expansion.

The README's "A family of your own" refers to it, and `test_family.py` searches it.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from s4jax import elastic
from s4jax.elastic import Conv, LayerNorm, Linear
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import per_block

SEARCHED = ('embed_dim', 'depth', 'expansion')  # the dimensions that config.space may have


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(BaseArchitecture):  # has image_size, channels and classes already
    patch: int = 2  # a key of config.model
    embed_dim: int
    depth: int
    expansion: tuple[float, ...]  # one value per block


class Sizes(NamedTuple):  # a field `depth` is the number of blocks; tuples are per block
    embed_dim: Any
    depth: Any
    hidden: Any


def stages(names):  # one stage of 1 · depth blocks
    return ((1, 'depth'),)


def architecture(choices, **inputs):
    return Architecture(
        embed_dim=choices['embed_dim'],
        depth=choices['depth'],
        expansion=per_block(choices, 'expansion'),
        **inputs,
    )


def sizes_of(arch):
    return Sizes(arch.embed_dim, arch.depth, tuple(int(arch.embed_dim * e) for e in arch.expansion))


def params(arch):
    d, inputs = arch.embed_dim, arch.channels * arch.patch**2
    return (
        d * (inputs + 1)
        + arch.classes * (d + 1)
        + sum(2 * d + h * (9 * d + 1) + d * (h + 1) for h in sizes_of(arch).hidden)
    )


def macs(arch):
    d, places = arch.embed_dim, (arch.image_size // arch.patch) ** 2
    return (
        places * d * arch.channels * arch.patch**2
        + arch.classes * d
        + sum(places * 10 * d * h for h in sizes_of(arch).hidden)
    )


def decays(path):
    return path[-1] not in ('bias', 'scale')


class Block(nn.Module):
    width: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x, keep, embed_dim, hidden
    ):  # written once: sizes are ints (slices) or traced (masks)
        factor = 1 if keep is None else keep.astype(self.dtype)[0][:, None, None, None]
        y = LayerNorm((self.width,), 1e-6, self.dtype, name='norm')(x, embed_dim)
        y = nn.gelu(Conv(3, 1, self.width, self.hidden, self.dtype, name='conv')(y, hidden))
        return x + factor * Linear((self.hidden,), (self.width,), self.dtype, name='out')(
            y, embed_dim
        )


class Model(nn.Module):
    arch: Architecture
    dtype: Any = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(self, images, sizes=None, key=None):  # a key means training
        arch, widest = self.arch, sizes_of(self.arch)
        sizes = widest if sizes is None else elastic.resolve(sizes)
        keep = (
            elastic.drop_path(key, self.drop_path, arch.depth, len(images), 1)
            if key is not None and self.drop_path
            else None
        )
        x = elastic.patches(images, arch.patch)
        x = Linear(
            (arch.patch, arch.patch, arch.channels), (arch.embed_dim,), self.dtype, name='patch'
        )(x, sizes.embed_dim)
        x = elastic.blocks(
            self,
            lambda hidden: Block(arch.embed_dim, hidden, self.dtype, parent=None),
            x,
            sizes.depth,
            keep,
            shared=((arch.embed_dim, sizes.embed_dim),),
            own=((widest.hidden, sizes.hidden),),
        )
        return Linear((arch.embed_dim,), (arch.classes,), jnp.float32, name='head')(
            jnp.mean(x, (1, 2)), None
        )
