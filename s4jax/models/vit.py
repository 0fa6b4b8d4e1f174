"""The vision transformer of AutoFormer (Chen et al., ICCV 2021).

Elastic in width, depth, heads and MLP ratio. Heads are 64 wide at every embedding; relative
positions of keys and values come from tables of (2·14 + 2) rows, one by vertical and one by
horizontal distance, shared by the heads; the mean of the patch tokens is classified.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from s4jax import elastic
from s4jax.elastic import Fixed, LayerNorm, Linear, Mlp, Size
from s4jax.models import plain
from s4jax.models.fields import BlockHeads, BlockRatios, Depth, EmbedDim, HeadDim, Patch
from s4jax.models.plain import Sizes, sizes_of
from s4jax.search.space import Choices, Stages, staged

SEARCHED = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
EPSILON = 1e-5
MAX_DISTANCE = 14
TABLE_ROWS = 2 * MAX_DISTANCE + 2  # row 0 is the class token's, row 15 is distance 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(plain.Architecture):
    """The sizes of one ViT: `num_heads` and `mlp_ratio` hold one value per block."""

    patch: Patch = 16
    head_dim: HeadDim = 64
    embed_dim: EmbedDim
    depth: Depth
    num_heads: BlockHeads
    mlp_ratio: BlockRatios


def stages(names: tuple[str, ...]) -> Stages:
    """One stage of `depth` blocks, or one of `depth_1` blocks, one of `depth_2` blocks, and so on,
    whose blocks may have dimensions of their own."""
    return tuple((1, name) for name in staged(names, 'depth')) or ((1, 'depth'),)


def architecture(choices: Choices, **inputs: Any) -> Architecture:
    """The architecture of a point of a space; `inputs` are the fields that are not searched."""
    return Architecture(**plain.fields(choices), **inputs)


def stock(head_dim: int = 64, **inputs: Any) -> dict[str, Any]:
    """The shape of DeiT-S (Touvron et al., ICML 2021): its heads fill its width."""
    return dict(embed_dim=384, depth=12, num_heads=384 / head_dim, mlp_ratio=4)


def params(arch: Architecture) -> int:
    """Exact number of parameters."""
    d, k = arch.embed_dim, arch.head_dim
    patch, head = d * (arch.channels * arch.patch**2 + 1), (d + 1) * arch.classes
    total = patch + d + arch.tokens * d + 2 * d + head
    for h, m in zip(arch.num_heads, arch.hidden):
        attention = 3 * h * k * (d + 1) + d * (h * k + 1) + 4 * TABLE_ROWS * k
        total += attention + 4 * d + m * (d + 1) + d * (m + 1)
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward.

    Linear layers, q·k, attention·v and both relative-position products. The latter are counted as
    published, over tables of tokens × tokens; the forward pass here does less.
    """
    d, k, tokens = arch.embed_dim, arch.head_dim, arch.tokens
    total = arch.grid**2 * d * arch.channels * arch.patch**2 + d * arch.classes
    for h, m in zip(arch.num_heads, arch.hidden):
        total += 4 * tokens * d * h * k + 4 * tokens**2 * h * k + 2 * tokens * d * m
    return total


def paper_params(depth: float, mlp_ratio: float, heads: float, d: float, classes: int) -> float:
    """Eq. 3 as printed, for reference: it overcounts the real model by 572d + 4·depth·d."""
    attention = 4 * d + 256 * heads * d + 192 * heads + 5 * d + 7680
    block = attention + 2 * mlp_ratio * d**2 + mlp_ratio * d + d
    return 1539 * d + depth * block + 2 * d + classes * (d + 1)


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases, norms, positions and the class token.

    As in AutoFormer, it does apply to the tables of relative positions.
    """
    return path[-1] not in ('bias', 'scale', 'positions', 'class_token')


class RelativeAttention(nn.Module):
    """Self-attention with AutoFormer's 2-D relative positions on keys and values.

    The position term of a pair is the sum of a row and a column term, so that q·table is needed for
    `grid` rows and `grid` columns alone: 2·grid + 1 further columns of the two matmuls instead of a
    table of tokens × tokens × head width.
    """

    arch: Architecture
    num_heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, embed_dim: Size, num_heads: Size) -> jax.Array:
        """x (batch, tokens, embed_dim) -> the same shape."""
        width, grid, k = self.arch.embed_dim, self.arch.grid, self.arch.head_dim
        qkv = Linear((width,), (3, self.num_heads, k), self.dtype, name='qkv')(
            x, None, num_heads, None
        )
        qkv = jnp.moveaxis(elastic.saved(qkv, 3), 2, 0)
        q, key, v = (t.transpose(0, 2, 1, 3) for t in qkv)
        key_table, value_table = self._table('key_positions'), self._table('value_positions')
        places = jnp.asarray(_places(grid), self.dtype)

        queries = jnp.concatenate([q, _toward(q, key_table, grid)], -1)
        out = elastic.attend_by_head(queries, _beside(key, places), _beside(v, places), k)
        out = out[..., :k] + _from(out[..., k:], value_table, grid)
        out = elastic.prefix(out.transpose(0, 2, 1, 3), num_heads, None)
        out = elastic.saved(out, 2)
        return Linear((self.num_heads, k), (width,), self.dtype, name='out')(out, embed_dim)

    def _table(self, name: str) -> jax.Array:
        """(2, rows, head width): the tables by vertical and by horizontal distance."""
        shape = (2, TABLE_ROWS, self.arch.head_dim)
        table = elastic.parameter(self, name, nn.initializers.truncated_normal(0.02), shape)
        return table.astype(self.dtype)


def _beside(x: jax.Array, places: jax.Array) -> jax.Array:
    """x (batch, heads, tokens, width) with the same `places` (tokens, n) beside the width of every
    head: (batch, heads, tokens, width + n)."""
    return jnp.concatenate([x, jnp.broadcast_to(places, (*x.shape[:2], *places.shape))], -1)


def _places(grid: int) -> np.ndarray:
    """(tokens, 1 + 2·grid): one-hot of a token's place as [class token, row, column].

    The class token has no row and no column.
    """
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    one_hot = np.concatenate(
        [np.zeros((grid * grid, 1)), np.eye(grid)[rows], np.eye(grid)[columns]], 1
    )
    return np.concatenate([np.eye(1, 1 + 2 * grid), one_hot])


def _by_distance(table: jax.Array, grid: int) -> jax.Array:
    """(rows, width) -> (grid, grid, width): the table's row for every query and key place."""
    distance = np.arange(grid)[None] - np.arange(grid)[:, None]
    return table[1 + MAX_DISTANCE + np.clip(distance, -MAX_DISTANCE, MAX_DISTANCE)]


def _toward(q: jax.Array, tables: jax.Array, grid: int) -> jax.Array:
    """q times the table entries of every place that a key can have.

    q (batch, heads, tokens, width), tables (2, rows, width) -> (…, tokens, 1 + 2·grid).
    """
    patches = q[..., 1:, :].reshape(*q.shape[:2], grid, grid, q.shape[-1])
    own = tables[0, 0] + tables[1, 0]
    rows = jnp.einsum('bhrck,rsk->bhrcs', patches, _by_distance(tables[0], grid))
    columns = jnp.einsum('bhrck,csk->bhrcs', patches, _by_distance(tables[1], grid))
    terms = jnp.concatenate([rows, columns], -1).reshape(*q.shape[:2], grid * grid, 2 * grid)
    # From the class token every key lies in row 0 of both tables: a constant in all its logits,
    # which softmax cancels.
    from_class = jnp.zeros((*q.shape[:2], 1, 2 * grid), q.dtype)
    toward_class = (q @ own)[..., None].at[..., 0, :].set(0)
    return jnp.concatenate([toward_class, jnp.concatenate([from_class, terms], -2)], -1)


def _from(mass: jax.Array, tables: jax.Array, grid: int) -> jax.Array:
    """The attention on every place times the table entries of that place.

    mass (batch, heads, tokens, 1 + 2·grid), tables (2, rows, width) -> (…, tokens, width).
    """
    own = tables[0, 0] + tables[1, 0]
    mass = mass[..., 1:, :].reshape(*mass.shape[:2], grid, grid, 1 + 2 * grid)
    on_class, on_rows, on_columns = mass[..., :1], mass[..., 1 : 1 + grid], mass[..., 1 + grid :]
    rows = jnp.einsum('bhrcs,rsk->bhrck', on_rows, _by_distance(tables[0], grid))
    columns = jnp.einsum('bhrcs,csk->bhrck', on_columns, _by_distance(tables[1], grid))
    out = rows + columns + on_class * own
    out = out.reshape(*mass.shape[:2], grid * grid, own.shape[-1])
    first = jnp.broadcast_to(own, (*mass.shape[:2], 1, own.shape[-1]))
    return jnp.concatenate([first, out], -2)


class Block(nn.Module):
    """A pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Each branch is multiplied by its factor of stochastic depth.
    """

    arch: Architecture
    num_heads: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, embed_dim: Size, num_heads: Size, hidden: Size
    ) -> jax.Array:
        """x (batch, tokens, embed_dim) -> the same shape; `keep` (2, batch) are the factors."""
        width = self.arch.embed_dim
        factors = (1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None]
        attention = RelativeAttention(self.arch, self.num_heads, self.dtype, name='attention')
        mlp = Mlp(width, self.hidden, self.dtype, name='mlp')

        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, embed_dim)
        y = attention(y, embed_dim, num_heads)
        x = elastic.saved(x + factors[0] * y)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, embed_dim)
        return x + factors[1] * mlp(y, embed_dim, hidden)


class Model(nn.Module):
    """The ViT of `arch`, which can run every architecture whose sizes are prefixes of its own."""

    arch: Architecture
    dtype: DTypeLike = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        sizes: Sizes | Fixed | None = None,
        drop_key: elastic.DropKey | None = None,
    ) -> jax.Array:
        """images (batch, size, size, channels) -> logits (batch, classes).

        `sizes` are of the architecture to run, by default the widest; `drop_key` means training,
        with stochastic depth.
        """
        arch = self.arch
        sizes = sizes_of(arch) if sizes is None else elastic.resolve(sizes)
        width, embed_dim = arch.embed_dim, sizes.embed_dim
        x = self._embedded(images, embed_dim)

        def block(num_heads: int, hidden: int) -> Block:
            return Block(arch, num_heads, hidden, self.dtype, parent=None)

        keep = None
        if drop_key is not None and self.drop_path > 0:
            keep = elastic.drop_path(drop_key, self.drop_path, arch.depth, x.shape[0])
        own = (arch.num_heads, sizes.num_heads), (arch.hidden, sizes.hidden)
        x = elastic.blocks(self, block, x, sizes.depth, keep, ((width, embed_dim),), own)
        x = LayerNorm((width,), EPSILON, self.dtype, name='norm')(x, embed_dim)
        dtype = jnp.promote_types(self.dtype, jnp.float32)
        return Linear((width,), (arch.classes,), dtype, name='head')(jnp.mean(x[:, 1:], 1), None)

    def _embedded(self, images: jax.Array, embed_dim: Size) -> jax.Array:
        """images (batch, size, size, channels) -> tokens (batch, 1 + grid², embed_dim)."""
        arch, normal = self.arch, nn.initializers.truncated_normal(0.02)
        width, patch = arch.embed_dim, arch.patch
        x = elastic.patches(images, patch)
        x = Linear((patch, patch, arch.channels), (width,), self.dtype, name='patch')(x, embed_dim)
        token = elastic.weight(elastic.parameter(self, 'class_token', normal, (width,)), embed_dim)
        token = token.astype(self.dtype)
        positions = elastic.parameter(self, 'positions', normal, (arch.tokens, width))
        positions = elastic.weight(positions, embed_dim)
        x = x.reshape(x.shape[0], arch.grid**2, -1)
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, token.shape[0])), x], 1)
        return elastic.prefix(x + positions.astype(self.dtype), embed_dim)
