"""The vision transformer of AutoFormer (Chen et al., ICCV 2021): elastic in width, depth, heads and MLP ratio.

Heads are 64 wide at every embedding; relative positions of keys and values come from tables of (2·14 + 2) rows, one by
vertical and one by horizontal distance, shared by the heads; the mean of the patch tokens is classified.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from s4jax import elastic
from s4jax.elastic import LayerNorm, Linear, Mlp
from s4jax.errors import UsageError
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import Choices, Stages, per_block, staged

SEARCHED = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
EPSILON = 1e-5
MAX_DISTANCE = 14
TABLE_ROWS = 2 * MAX_DISTANCE + 2  # row 0 is the class token's, row 15 is distance 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(BaseArchitecture):
    """The sizes of one ViT: `num_heads` and `mlp_ratio` hold one value per block."""

    patch: int = 16
    head_dim: int = 64
    embed_dim: int
    depth: int
    num_heads: tuple[int, ...]
    mlp_ratio: tuple[float, ...]

    def __post_init__(self):
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

    @property
    def grid(self) -> int:
        return self.image_size // self.patch


class Sizes(NamedTuple):
    """What the forward pass needs of an architecture: see `elastic` for the kinds of size."""

    embed_dim: Any
    depth: Any
    num_heads: Any
    hidden: Any


def stages(names: tuple[str, ...]) -> Stages:
    """One stage of `depth` blocks, or consecutive segments of `depth_1`, `depth_2`, … with dimensions of their own."""
    return tuple((1, name) for name in staged(names, 'depth')) or ((1, 'depth'),)


def architecture(choices: Choices, **inputs: int) -> Architecture:
    num_heads = per_block(choices, 'num_heads')
    return Architecture(
        embed_dim=choices['embed_dim'],
        depth=len(num_heads),
        num_heads=num_heads,
        mlp_ratio=per_block(choices, 'mlp_ratio'),
        **inputs,
    )


def sizes_of(arch: Architecture) -> Sizes:
    return Sizes(
        arch.embed_dim,
        arch.depth,
        arch.num_heads,
        tuple(int(arch.embed_dim * r) for r in arch.mlp_ratio),
    )


def params(arch: Architecture) -> int:
    """Exact number of parameters."""
    d, k, tokens = arch.embed_dim, arch.head_dim, arch.grid**2 + 1
    outside = (
        d * (arch.channels * arch.patch**2 + 1) + d + tokens * d + 2 * d + (d + 1) * arch.classes
    )
    blocks = 0
    for h, m in zip(arch.num_heads, sizes_of(arch).hidden):
        attention = 3 * h * k * (d + 1) + d * (h * k + 1) + 4 * TABLE_ROWS * k
        blocks += attention + 4 * d + m * (d + 1) + d * (m + 1)
    return outside + blocks


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: linear layers, q·k, attention·v and both relative-position products.

    The latter are counted as published, over tables of tokens × tokens; the forward pass here does less.
    """
    d, k, tokens = arch.embed_dim, arch.head_dim, arch.grid**2 + 1
    total = arch.grid**2 * d * arch.channels * arch.patch**2 + d * arch.classes
    for h, m in zip(arch.num_heads, sizes_of(arch).hidden):
        total += 4 * tokens * d * h * k + 4 * tokens**2 * h * k + 2 * tokens * d * m
    return total


def paper_params(depth: float, mlp_ratio: float, heads: float, d: float, classes: int) -> float:
    """Eq. 3 as printed, for reference: it overcounts the real model by exactly 572d + 4·depth·d."""
    block = (
        4 * d
        + 256 * heads * d
        + 192 * heads
        + 5 * d
        + 7680
        + 2 * mlp_ratio * d**2
        + mlp_ratio * d
        + d
    )
    return 1539 * d + depth * block + 2 * d + classes * (d + 1)


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases, norms, positions, class token, as in AutoFormer; its relative-position
    tables are no exception to decay there."""
    return path[-1] not in ('bias', 'scale', 'positions', 'class_token')


class RelativeAttention(nn.Module):
    """Self-attention with AutoFormer's 2-D relative positions on keys and values.

    The position term of a pair is the sum of a row and a column term, so that q·table is needed for `grid` rows and `grid`
    columns alone: 2·grid + 1 further columns of the two matmuls instead of a table of tokens × tokens × head width.
    """

    arch: Architecture
    num_heads: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, embed_dim: int | jax.Array, num_heads: int | jax.Array
    ) -> jax.Array:
        width, grid, k = self.arch.embed_dim, self.arch.grid, self.arch.head_dim
        qkv = Linear((width,), (3, self.num_heads, k), self.dtype, name='qkv')(
            x, None, num_heads, None
        )
        q, key, v = (
            t.transpose(0, 2, 1, 3) for t in jnp.moveaxis(checkpoint_name(qkv, elastic.SAVED), 2, 0)
        )
        tables = [
            self.param(name, nn.initializers.truncated_normal(0.02), (2, TABLE_ROWS, k)).astype(
                self.dtype
            )
            for name in ('key_positions', 'value_positions')
        ]
        places = jnp.asarray(_places(grid), self.dtype)
        logits = jnp.concatenate([q, _toward(q, tables[0], grid)], -1) @ jnp.concatenate(
            [key, jnp.broadcast_to(places, (*key.shape[:2], *places.shape))], -1
        ).swapaxes(-1, -2)
        attention = jax.nn.softmax(
            logits.astype(jnp.promote_types(self.dtype, jnp.float32)) * k**-0.5
        ).astype(self.dtype)
        out = attention @ jnp.concatenate(
            [v, jnp.broadcast_to(places, (*v.shape[:2], *places.shape))], -1
        )
        out = out[..., :k] + _from(out[..., k:], tables[1], grid)
        out = checkpoint_name(prefix_heads(out, num_heads), elastic.SAVED)
        return Linear((self.num_heads, k), (width,), self.dtype, name='out')(out, embed_dim)


def prefix_heads(out: jax.Array, num_heads: int | jax.Array) -> jax.Array:
    """(batch, heads, tokens, width) -> (batch, tokens, heads, width), heads beyond the prefix zero."""
    return elastic.prefix(out.transpose(0, 2, 1, 3), num_heads, None)


def _places(grid: int) -> np.ndarray:
    """(tokens, 1 + 2·grid): which of [class token, row, column] a token is at. The class token has no row and column."""
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    one_hot = np.concatenate(
        [np.zeros((grid * grid, 1)), np.eye(grid)[rows], np.eye(grid)[columns]], 1
    )
    return np.concatenate([np.eye(1, 1 + 2 * grid), one_hot])


def _by_distance(table: jax.Array, grid: int) -> jax.Array:
    """(rows, width) -> (grid, grid, width): the table's row for every query place and key place."""
    distance = np.clip(
        np.arange(grid)[None] - np.arange(grid)[:, None], -MAX_DISTANCE, MAX_DISTANCE
    )
    return table[1 + MAX_DISTANCE + distance]


def _toward(q: jax.Array, tables: jax.Array, grid: int) -> jax.Array:
    """q (batch, heads, tokens, width) times the tables of the keys' places: (…, tokens, 1 + 2·grid)."""
    patches = q[..., 1:, :].reshape(*q.shape[:2], grid, grid, q.shape[-1])
    own = tables[0, 0] + tables[1, 0]
    rows = jnp.einsum('bhrck,rsk->bhrcs', patches, _by_distance(tables[0], grid))
    columns = jnp.einsum('bhrck,csk->bhrcs', patches, _by_distance(tables[1], grid))
    terms = jnp.concatenate([rows, columns], -1).reshape(*q.shape[:2], grid * grid, 2 * grid)
    # from the class token every key is at "distance" row 0 of both tables: a constant, which softmax does not see
    from_class = jnp.zeros((*q.shape[:2], 1, 2 * grid), q.dtype)
    toward_class = (q @ own)[..., None].at[..., 0, :].set(0)
    return jnp.concatenate([toward_class, jnp.concatenate([from_class, terms], -2)], -1)


def _from(mass: jax.Array, tables: jax.Array, grid: int) -> jax.Array:
    """Attention's mass on each place (batch, heads, tokens, 1 + 2·grid) times the values' tables: (…, tokens, width)."""
    own = tables[0, 0] + tables[1, 0]
    patches = mass[..., 1:, :].reshape(*mass.shape[:2], grid, grid, 1 + 2 * grid)
    rows = jnp.einsum('bhrcs,rsk->bhrck', patches[..., 1 : 1 + grid], _by_distance(tables[0], grid))
    columns = jnp.einsum(
        'bhrcs,csk->bhrck', patches[..., 1 + grid :], _by_distance(tables[1], grid)
    )
    out = (rows + columns + patches[..., :1] * own).reshape(
        *mass.shape[:2], grid * grid, own.shape[-1]
    )
    first = jnp.broadcast_to(own, (*mass.shape[:2], 1, own.shape[-1]))
    return jnp.concatenate([first, out], -2)


class Block(nn.Module):
    """A pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`, each branch times its stochastic-depth factor."""

    arch: Architecture
    num_heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, embed_dim, num_heads, hidden
    ) -> jax.Array:
        width = self.arch.embed_dim
        factors = (1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None]
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, embed_dim)
        y = RelativeAttention(self.arch, self.num_heads, self.dtype, name='attention')(
            y, embed_dim, num_heads
        )
        x = checkpoint_name(x + factors[0] * y, elastic.SAVED)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, embed_dim)
        return x + factors[1] * Mlp(width, self.hidden, self.dtype, name='mlp')(
            y, embed_dim, hidden
        )


class Model(nn.Module):
    """The ViT of `arch`, asked to run any architecture whose sizes are prefixes of its own."""

    arch: Architecture
    dtype: Any = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self, images: jax.Array, sizes: Any = None, drop_key: jax.Array | None = None
    ) -> jax.Array:
        """images (batch, size, size, channels) -> logits (batch, classes); `drop_key` trains with stochastic depth."""
        arch, widest = self.arch, sizes_of(self.arch)
        sizes = widest if sizes is None else elastic.resolve(sizes)
        width, grid, patch, embed_dim = arch.embed_dim, arch.grid, arch.patch, sizes.embed_dim
        normal = nn.initializers.truncated_normal(0.02)

        x = Linear((patch, patch, arch.channels), (width,), self.dtype, name='patch')(
            elastic.patches(images, patch), embed_dim
        )
        token = elastic.weight(self.param('class_token', normal, (width,)), embed_dim).astype(
            self.dtype
        )
        positions = elastic.weight(self.param('positions', normal, (grid**2 + 1, width)), embed_dim)
        x = x.reshape(x.shape[0], grid * grid, -1)
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, token.shape[0])), x], 1)
        x = elastic.prefix(x + positions.astype(self.dtype), embed_dim)

        def block(num_heads: int, hidden: int) -> Block:
            return Block(arch, num_heads, hidden, self.dtype, parent=None)

        keep = None
        if drop_key is not None and self.drop_path > 0:
            keep = elastic.drop_path(drop_key, self.drop_path, arch.depth, x.shape[0])
        own = (widest.num_heads, sizes.num_heads), (widest.hidden, sizes.hidden)
        x = elastic.blocks(self, block, x, sizes.depth, keep, ((width, embed_dim),), own)
        x = LayerNorm((width,), EPSILON, self.dtype, name='norm')(x, embed_dim)
        return Linear(
            (width,), (arch.classes,), jnp.promote_types(self.dtype, jnp.float32), name='head'
        )(jnp.mean(x[:, 1:], 1), None)
