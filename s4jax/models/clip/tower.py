"""CLIP's vision transformer (Radford et al., ICML 2021) as published: a frozen encoder, for inference alone.

Pre-norm blocks with QuickGELU on class token, patches and positions that went through a norm first; no bias in the patches.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax import elastic
from s4jax.elastic import LayerNorm, Linear, Mlp
from s4jax.errors import UsageError

EPSILON = 1e-5
GIVEN = ('patch', 'width')  # what a decoder's architecture takes from its encoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of one tower; `hidden` is the width inside the MLPs."""

    image_size: int = 224
    channels: int = 3
    patch: int = 16
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072

    def __post_init__(self):
        if self.width % self.heads or self.image_size % self.patch:
            raise UsageError(
                f'a CLIP tower of width={self.width} cannot have {self.heads} heads, or image_size='
                f'{self.image_size} is not a multiple of patch={self.patch}'
            )

    @property
    def tokens(self) -> int:
        return (self.image_size // self.patch) ** 2 + 1


VARIANTS = {
    'ViT-B/16': Architecture(),
    'ViT-B/32': Architecture(patch=32),
    'ViT-L/14': Architecture(patch=14, width=1024, layers=24, heads=16, hidden=4096),
    'ViT-L/14@336px': Architecture(
        patch=14, width=1024, layers=24, heads=16, hidden=4096, image_size=336
    ),
    'tiny': Architecture(
        image_size=8, channels=1, patch=2, width=48, layers=6, heads=4, hidden=192
    ),  # for the smoke run
}


def params(arch: Architecture) -> int:
    """Exact number of parameters, the norm of the pooled class token included."""
    d, h = arch.width, arch.hidden
    return (
        arch.channels * arch.patch**2 * d
        + d
        + arch.tokens * d
        + 4 * d
        + arch.layers * (4 * d * d + 4 * d + 2 * d * h + h + d + 4 * d)
    )


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: patches, linear layers, q·k and attention·v."""
    d, tokens = arch.width, arch.tokens
    return (tokens - 1) * d * arch.channels * arch.patch**2 + arch.layers * (
        4 * tokens * d * d + 2 * tokens**2 * d + 2 * tokens * d * arch.hidden
    )


def quick_gelu(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(1.702 * x)


class Block(nn.Module):
    """A pre-norm block of static sizes: (batch, tokens, width) -> the same; `bias` (tokens, tokens) is added to the logits."""

    width: int
    heads: int
    hidden: int
    dtype: Any
    bias: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width, size = self.width, self.width // self.heads
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, width)
        qkv = Linear((width,), (3, self.heads, size), self.dtype, name='qkv')(y, None, None, None)
        y = elastic.attend(*jnp.moveaxis(qkv, 2, 0), size, self.bias)
        x = x + Linear((self.heads, size), (width,), self.dtype, name='out')(y, None)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, width)
        return x + Mlp(width, self.hidden, self.dtype, quick_gelu, name='mlp')(
            y, width, self.hidden
        )


def run(block: Block, parameters: Any, x: jax.Array, last: int) -> tuple[jax.Array, jax.Array]:
    """`x` through blocks of stacked parameters: (the end, the outputs of the last `last` blocks)."""

    def step(keeps: bool):
        def body(x, parameters):
            x = block.apply({'params': parameters}, x)
            return x, x if keeps else None

        return body

    first = jax.tree.leaves(parameters)[0].shape[0] - last
    x, _ = lax.scan(step(False), x, jax.tree.map(lambda leaf: leaf[:first], parameters))
    return lax.scan(step(True), x, jax.tree.map(lambda leaf: leaf[first:], parameters))


class Tower(nn.Module):
    """The vision tower; `dtype` is what it computes in."""

    arch: Architecture
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, last: int = 0) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """images (batch, size, size, channels) -> (states, pooled).

        states: the tokens after the first norm and the outputs of the last `last` layers in order, each (batch, tokens,
        width); pooled: the normed class token (batch, width).
        """
        arch, width, normal = (
            self.arch,
            self.arch.width,
            nn.initializers.normal(self.arch.width**-0.5),
        )
        grid, patch = arch.image_size // arch.patch, arch.patch
        x = images.reshape(-1, grid, patch, grid, patch, arch.channels).transpose(0, 1, 3, 2, 4, 5)
        x = Linear(
            (patch, patch, arch.channels), (width,), self.dtype, use_bias=False, name='patch'
        )(x, None)
        x = x.reshape(x.shape[0], grid * grid, width)
        token = self.param('class_token', normal, (width,)).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, width)), x], 1)
        x = x + self.param('positions', normal, (arch.tokens, width)).astype(self.dtype)
        first = LayerNorm((width,), EPSILON, self.dtype, name='norm_before')(x, width)

        block = Block(width, arch.heads, arch.hidden, self.dtype, parent=None)
        blocks = self.param(
            'blocks',
            elastic.init_blocks,
            lambda _, key: block.init(key, first[:1])['params'],
            arch.layers,
            True,
        )
        x, states = run(block, blocks, first, last)
        pooled = LayerNorm((width,), EPSILON, self.dtype, name='norm_after')(x[:, 0], width)
        return (first, *states), pooled


class TextTower(nn.Module):
    """CLIP's text tower: a token sees those before it; `depth` blocks, a vocabulary of `vocabulary` tokens."""

    vocabulary: int
    length: int
    width: int
    depth: int
    heads: int
    hidden: int

    @nn.compact
    def __call__(self, tokens: jax.Array, ends: jax.Array) -> jax.Array:
        """tokens (texts, length), ends (texts,): the place of each text's last token -> its normed state (texts, width)."""
        width, normal = self.width, nn.initializers.normal(0.02)
        x = self.param('embedding', normal, (self.vocabulary, width))[tokens]
        x = x + self.param('positions', normal, (self.length, width))
        seen = np.where(
            np.tri(self.length, dtype=bool), 0, np.float32(-np.inf)
        )  # what comes later in a text is not
        block = Block(width, self.heads, self.hidden, jnp.float32, seen, parent=None)
        blocks = self.param(
            'blocks',
            elastic.init_blocks,
            lambda _, key: block.init(key, x[:1])['params'],
            self.depth,
            True,
        )
        x, _ = run(block, blocks, x, 0)
        return LayerNorm((width,), EPSILON, name='norm_after')(x[jnp.arange(len(x)), ends], width)


def random(arch: Architecture, rng: np.random.Generator) -> Any:
    """Variables of a tower that was never trained: kernels scaled by their inputs, so that tokens do affect each other."""
    image = jax.ShapeDtypeStruct((1, arch.image_size, arch.image_size, arch.channels), jnp.float32)
    shapes = jax.eval_shape(Tower(arch).init, jax.random.key(0), image)
    inputs = {
        'patch': 3,
        'qkv': 1,
        'out': 2,
        'fc1': 1,
        'fc2': 1,
    }  # axes of a kernel that are inputs

    def fill(path, leaf):
        *_, layer, name = (key.key for key in path)
        if name in ('scale', 'bias'):
            return np.full(leaf.shape, name == 'scale', np.float32)
        stacked = layer in inputs and layer != 'patch'  # along the layers
        fan_in = (
            np.prod(leaf.shape[stacked : stacked + inputs[layer]])
            if layer in inputs
            else arch.width
        )
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(fan_in**-0.5)

    return jax.tree_util.tree_map_with_path(fill, shapes)
