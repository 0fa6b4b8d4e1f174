"""CLIP's towers (Radford et al., ICML 2021) as published: frozen encoders, for inference alone.

Pre-norm blocks with QuickGELU; in the vision tower, class token, patches and positions go through a
norm first, and the patches have no bias.
"""

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from pydantic import Field

from s4jax import elastic
from s4jax.elastic import LayerNorm, Linear, Mlp
from s4jax.errors import UsageError
from s4jax.models.fields import Blocks, Heads, Patch
from s4jax.settings import Int, check

EPSILON = 1e-5
GIVEN = ('patch', 'width')  # what a decoder's architecture takes from its encoder
# Axes of a kernel that are inputs, by the name of its layer.
INPUT_AXES = {'patch': 3, 'qkv': 1, 'out': 2, 'fc1': 1, 'fc2': 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of one vision tower."""

    image_size: Annotated[
        Int, Field(ge=1, le=4096, description='side of the square input, in pixels')
    ] = 224
    channels: Annotated[Int, Field(ge=1, le=16, description='channels of an image')] = 3
    patch: Patch = 16
    width: Annotated[Int, Field(ge=1, le=16_384, description='width of a token')] = 768
    layers: Annotated[Blocks, Field(description='number of blocks')] = 12
    heads: Annotated[Heads, Field(description='attention heads of a block')] = 12
    hidden: Annotated[
        Int, Field(ge=1, le=1_048_576, description='width inside the MLP of a block')
    ] = 3072

    def __post_init__(self) -> None:
        check(self, 'CLIP tower')
        if self.width % self.heads or self.image_size % self.patch:
            raise UsageError(
                f'a CLIP tower of width={self.width} cannot have {self.heads} heads, or image_size='
                f'{self.image_size} is not a multiple of patch={self.patch}'
            )

    @property
    def grid(self) -> int:
        """The number of patches along a side of the image."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """The number of tokens: the patches and the class token."""
        return self.grid**2 + 1


_LARGE = Architecture(patch=14, width=1024, layers=24, heads=16, hidden=4096)
VARIANTS = {
    'ViT-B/16': Architecture(),
    'ViT-B/32': Architecture(patch=32),
    'ViT-L/14': _LARGE,
    'ViT-L/14@336px': dataclasses.replace(_LARGE, image_size=336),
    # for the smoke run
    'tiny': Architecture(
        image_size=8, channels=1, patch=2, width=48, layers=6, heads=4, hidden=192
    ),
}


def params(arch: Architecture) -> int:
    """Exact number of parameters, with the norm of the pooled class token."""
    d, h = arch.width, arch.hidden
    block = 4 * d * d + 4 * d + 2 * d * h + h + d + 4 * d
    patch = arch.channels * arch.patch**2 * d
    return patch + d + arch.tokens * d + 4 * d + arch.layers * block


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: patches, linear layers, q·k and attention·v."""
    d, tokens = arch.width, arch.tokens
    block = 4 * tokens * d * d + 2 * tokens**2 * d + 2 * tokens * d * arch.hidden
    return (tokens - 1) * d * arch.channels * arch.patch**2 + arch.layers * block


def quick_gelu(x: jax.Array) -> jax.Array:
    """CLIP's approximation of GELU, entry by entry."""
    return x * jax.nn.sigmoid(1.702 * x)


class Block(nn.Module):
    """A pre-norm block; `bias` (tokens, tokens) is added to the logits of its attention."""

    width: int
    heads: int
    hidden: int
    dtype: DTypeLike
    bias: ArrayLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x (batch, tokens, width) -> the same shape."""
        width, head_dim = self.width, self.width // self.heads
        mlp = Mlp(width, self.hidden, self.dtype, quick_gelu, name='mlp')
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, width)
        qkv = Linear((width,), (3, self.heads, head_dim), self.dtype, name='qkv')(
            y, None, None, None
        )
        q, k, v = jnp.moveaxis(qkv, 2, 0)
        y = elastic.attend(q, k, v, head_dim, self.bias)
        x = x + Linear((self.heads, head_dim), (width,), self.dtype, name='out')(y, None)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, width)
        return x + mlp(y, width, self.hidden)


def stacked(module: nn.Module, block: Block, depth: int, x: jax.Array) -> Any:
    """The parameters of `depth` equal blocks, each with a leading axis (depth, …).

    They are the parameter 'blocks' of `module`; x (batch, tokens, width) is what a block sees.
    """

    def init(_: int, key: jax.Array) -> Any:
        return block.init(key, x[:1])['params']

    return elastic.parameter(module, 'blocks', elastic.init_blocks, init, depth, True)


def run(block: Block, parameters: Any, x: jax.Array, last: int) -> tuple[jax.Array, jax.Array]:
    """x (batch, tokens, width) through blocks of stacked parameters.

    Returns the output of the last block, and those of the last `last` blocks: (last, batch, tokens,
    width).
    """

    def step(x: Any, parameters: Any) -> tuple[Any, None]:
        return block.apply({'params': parameters}, x), None

    def step_that_keeps(x: Any, parameters: Any) -> tuple[Any, Any]:
        x = block.apply({'params': parameters}, x)
        return x, x

    first = jax.tree.leaves(parameters)[0].shape[0] - last
    x, _ = lax.scan(step, x, jax.tree.map(lambda leaf: leaf[:first], parameters))
    return lax.scan(step_that_keeps, x, jax.tree.map(lambda leaf: leaf[first:], parameters))


class Tower(nn.Module):
    """The vision tower; it computes in `dtype`."""

    arch: Architecture
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, last: int = 0) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """images (batch, size, size, channels) -> (states, pooled).

        states: the tokens after the first norm and the outputs of the last `last` layers in order,
        each (batch, tokens, width); pooled: the normed class token (batch, width).
        """
        arch, width = self.arch, self.arch.width
        first = LayerNorm((width,), EPSILON, self.dtype, name='norm_before')(
            self._embedded(images), width
        )
        block = Block(width, arch.heads, arch.hidden, self.dtype, parent=None)
        x, states = run(block, stacked(self, block, arch.layers, first), first, last)
        pooled = LayerNorm((width,), EPSILON, self.dtype, name='norm_after')(x[:, 0], width)
        return (first, *states), pooled

    def _embedded(self, images: jax.Array) -> jax.Array:
        """images (batch, size, size, channels) -> tokens (batch, 1 + grid², width)."""
        arch, width, grid, patch = self.arch, self.arch.width, self.arch.grid, self.arch.patch
        normal = nn.initializers.normal(width**-0.5)
        x = images.reshape(-1, grid, patch, grid, patch, arch.channels).transpose(0, 1, 3, 2, 4, 5)
        inputs = (patch, patch, arch.channels)
        x = Linear(inputs, (width,), self.dtype, use_bias=False, name='patch')(x, None)
        x = x.reshape(x.shape[0], grid * grid, width)
        token = elastic.parameter(self, 'class_token', normal, (width,)).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, width)), x], 1)
        return x + elastic.parameter(self, 'positions', normal, (arch.tokens, width)).astype(
            self.dtype
        )


class TextTower(nn.Module):
    """CLIP's text tower, in which a token sees itself and those before it."""

    vocabulary: int  # number of different tokens
    length: int  # of the longest text, in tokens
    width: int
    depth: int
    heads: int
    hidden: int

    @nn.compact
    def __call__(self, tokens: jax.Array, ends: jax.Array) -> jax.Array:
        """The normed state of each text's last token: (texts, width).

        tokens (texts, length) int32; ends (texts,) int32, the place of each text's last token.
        """
        width, normal = self.width, nn.initializers.normal(0.02)
        x = elastic.parameter(self, 'embedding', normal, (self.vocabulary, width))[tokens]
        x = x + elastic.parameter(self, 'positions', normal, (self.length, width))
        earlier = np.tri(self.length, dtype=bool)
        bias = np.where(earlier, 0, np.float32(-np.inf))
        block = Block(width, self.heads, self.hidden, jnp.float32, bias, parent=None)
        x, _ = run(block, stacked(self, block, self.depth, x), x, 0)
        return LayerNorm((width,), EPSILON, name='norm_after')(x[jnp.arange(len(x)), ends], width)


def random(arch: Architecture, rng: np.random.Generator) -> Any:
    """Variables of a tower that was never trained.

    Kernels are scaled by their inputs, so that tokens do affect each other.
    """
    image = jax.ShapeDtypeStruct((1, arch.image_size, arch.image_size, arch.channels), jnp.float32)
    shapes = jax.eval_shape(Tower(arch).init, jax.random.key(0), image)

    def fill(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        *_, layer, name = (key.key for key in path)
        if name in ('scale', 'bias'):
            return np.full(leaf.shape, name == 'scale', np.float32)
        fan_in = arch.width
        if layer in INPUT_AXES:
            stacked = layer != 'patch'  # the first axis is that of the layers
            fan_in = np.prod(leaf.shape[stacked : stacked + INPUT_AXES[layer]])
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(fan_in**-0.5)

    return jax.tree_util.tree_map_with_path(fill, shapes)
