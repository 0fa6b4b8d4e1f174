"""The Swin Transformer (Liu et al., ICCV 2021).

Elastic in embedding width, in depth and, block by block, in MLP ratio. Stage i is embed_dim · 2^i
wide with a fixed number of heads; attention stays within windows, which every second block shifts
by half a window; between stages, 2×2 neighbours are merged. The mean of the last map is classified.
"""

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from jax import lax
from jax.typing import ArrayLike, DTypeLike

from s4jax import elastic
from s4jax.elastic import Fixed, LayerNorm, Linear, Mlp, Size
from s4jax.errors import UsageError
from s4jax.models import hierarchy, windows
from s4jax.models.fields import (
    MAX_IMAGE_SIZE,
    BlockRatios,
    EmbedDim,
    Patch,
    StageDepths,
    StageHeads,
)
from s4jax.models.hierarchy import Sizes, Stage, sizes_of
from s4jax.search.space import Choices, Stages
from s4jax.settings import Int

SEARCHED = ('embed_dim', 'depth', 'mlp_ratio')
USUAL = ((2, None), (2, None), (1, 'depth'), (2, None))  # the paper's stages
EPSILON = 1e-5
PERIOD = 2  # blocks after which a stage repeats: every second one is shifted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(hierarchy.Architecture):
    """The sizes of one Swin: `depths` and `num_heads` hold one value per stage, `mlp_ratio` one per
    block."""

    patch: Patch = 4
    window: Annotated[
        Int, pydantic.Field(ge=1, le=1024, description='side of an attention window, in tokens')
    ] = 7
    embed_dim: EmbedDim
    depths: StageDepths
    num_heads: StageHeads = (3, 6, 12, 24)
    mlp_ratio: BlockRatios

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._fits(self.image_size):
            return
        unit = self.patch * 2 ** (len(self.depths) - 1)
        largest = min(max(self.image_size, unit * 4 * self.window), MAX_IMAGE_SIZE)
        sizes = filter(self._fits, range(unit, largest + 1, unit))
        near = sorted(sorted(sizes, key=lambda size: abs(size - self.image_size))[:4])
        advice = f'sizes that do: {", ".join(map(str, near))}, …' if near else 'no size does'
        raise UsageError(
            f'image_size={self.image_size} does not go into patches of {self.patch}, '
            f'{len(self.depths)} stages and windows of {self.window}; {advice}'
        )

    def _fits(self, image_size: int) -> bool:
        """Whether every map is one window or whole windows, and all but the last map have an even
        side."""
        side, rest = divmod(image_size, self.patch * 2 ** (len(self.depths) - 1))
        maps = [side * 2**i for i in range(len(self.depths))]
        whole = all(m <= self.window or m % self.window == 0 for m in maps)
        return side > 0 and rest == 0 and whole

    @property
    def maps(self) -> tuple[int, ...]:
        """The side of each stage's map, in tokens."""
        return tuple(self.image_size // self.patch // 2**i for i in range(len(self.depths)))

    @property
    def windows(self) -> tuple[int, ...]:
        """The side of each stage's windows: a map no larger than the window is one window."""
        return tuple(min(self.window, side) for side in self.maps)


def _stock(embed_dim: int, third: int, heads: int) -> dict[str, Any]:
    """The sizes of a published Swin: 2, 2, `third`, 2 blocks, MLP ratio 4, heads that double from
    stage to stage."""
    return dict(
        embed_dim=embed_dim,
        depths=(2, 2, third, 2),
        num_heads=tuple(heads * 2**i for i in range(4)),
        mlp_ratio=(4.0,) * (6 + third),
    )


STOCK = {
    'swin_t': _stock(96, 6, 3),
    'swin_s': _stock(96, 18, 3),
    'swin_b': _stock(128, 18, 4),
    'swin_l': _stock(192, 18, 6),
}


def stages(names: tuple[str, ...]) -> Stages:
    """The stages of a space with dimensions of these names."""
    return hierarchy.stages(names, USUAL)


def architecture(choices: Choices, **inputs: Any) -> Architecture:
    """The architecture of a point of a space; `inputs` are the fields that are not searched."""
    return Architecture(**hierarchy.fields(choices, USUAL), **inputs)


def stock(**inputs: Any) -> dict[str, Any]:
    """The shape of Swin-T."""
    return dict(embed_dim=96, depth=(2, 2, 6, 2), mlp_ratio=4)


def params(arch: Architecture) -> int:
    """Exact number of parameters."""
    e, last = arch.embed_dim, arch.widths[-1]
    total = e * (arch.channels * arch.patch**2 + 1) + 2 * e + 2 * last + arch.classes * (last + 1)
    total += sum(8 * d * d + 8 * d for d in arch.widths[:-1])
    for d, window, heads, hidden in zip(arch.widths, arch.windows, arch.num_heads, arch.hidden):
        attention = 4 * d * d + 4 * d + (2 * window - 1) ** 2 * heads
        total += sum(attention + 2 * d * h + h + 5 * d for h in hidden)
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: linear layers, q·k and attention·v."""
    total = arch.maps[0] ** 2 * arch.embed_dim * arch.channels * arch.patch**2
    total += arch.classes * arch.widths[-1]
    total += sum((side // 2) ** 2 * 8 * d * d for d, side in zip(arch.widths[:-1], arch.maps))
    for d, side, window, hidden in zip(arch.widths, arch.maps, arch.windows, arch.hidden):
        total += sum(side**2 * (4 * d * d + 2 * d * h + 2 * window**2 * d) for h in hidden)
    return total


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases, norms and relative positions, as published."""
    return path[-1] not in ('bias', 'scale', 'positions')


class WindowAttention(nn.Module):
    """Self-attention within each window, with a learned bias for every relative position."""

    arch: Architecture
    stage: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: jax.Array, dim: Size, head_dim: Size, mask: ArrayLike | None
    ) -> jax.Array:
        """x (batch, windows, tokens, dim) -> the same shape.

        `mask` (windows, 1, tokens, tokens) is added to the logits.
        """
        arch, stage = self.arch, self.stage
        width, heads, window = arch.widths[stage], arch.num_heads[stage], arch.windows[stage]
        qkv = Linear((width,), (3, heads, width // heads), self.dtype, name='qkv')(
            x, None, None, head_dim
        )
        q, k, v = jnp.moveaxis(elastic.saved(qkv, 3), -3, 0)
        normal = nn.initializers.truncated_normal(0.02)
        table = elastic.parameter(self, 'positions', normal, ((2 * window - 1) ** 2, heads))
        bias = table[windows.relative(window)].transpose(2, 0, 1)
        out = elastic.attend(q, k, v, head_dim, bias if mask is None else bias + mask)
        out = elastic.saved(out, 2)
        return Linear((heads, width // heads), (width,), self.dtype, name='out')(out, dim)


class Block(nn.Module):
    """A pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Each branch is multiplied by its factor of stochastic depth.
    """

    arch: Architecture
    stage: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        keep: jax.Array | None,
        dim: Size,
        head_dim: Size,
        hidden: Size,
        shifted: jax.Array | np.float32,
    ) -> jax.Array:
        """x (batch, side, side, dim) -> the same shape; `keep` (2, batch) are the factors.

        `shifted` is 1 where the windows are shifted, else 0. In a scan it is traced: then the map
        is rolled in any case, and the roll is used where `shifted` is 1.
        """
        arch, stage = self.arch, self.stage
        width, side, window = arch.widths[stage], arch.maps[stage], arch.windows[stage]
        factors = (1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None, None]
        traced = isinstance(shifted, jax.Array)
        shift = window // 2
        shifts = side > window and (traced or bool(shifted))  # one window has no neighbour
        mask = windows.mask(side, window) * lax.stop_gradient(shifted) if shifts else None

        def roll(x: jax.Array, by: int) -> jax.Array:
            if not shifts:
                return x
            rolled = jnp.roll(x, (by, by), (1, 2))
            return jnp.where(shifted > 0, rolled, x) if traced else rolled

        attention = WindowAttention(arch, stage, self.dtype, name='attention')
        mlp = Mlp(width, self.hidden, self.dtype, name='mlp')
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, dim)
        y = attention(windows.cut(roll(y, -shift), window), dim, head_dim, mask)
        y = windows.joined(y, side, window)
        x = elastic.saved(x + factors[0] * roll(y, shift))
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, dim)
        return x + factors[1] * mlp(y, dim, hidden)


class StageModel(nn.Module):
    """One stage: the merging of 2×2 neighbours (not in the first), then the blocks."""

    arch: Architecture
    stage: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, embed_dim: Size, sizes: Stage
    ) -> jax.Array:
        """The map of the stage before, or of the patches -> (batch, side, side, dim).

        `keep` (blocks, 2, batch) are the factors of stochastic depth.
        """
        arch, stage = self.arch, self.stage
        width, dim, heads = arch.widths[stage], embed_dim * 2**stage, arch.num_heads[stage]
        if stage:
            x = self._merged(x, embed_dim)

        def block(hidden: int, _: float) -> Block:
            return Block(arch, stage, hidden, self.dtype, parent=None)

        shared = (width, dim), (width // heads, dim // heads)
        shifted = (np.arange(arch.depths[stage]) % 2).astype(np.float32)
        own = (arch.hidden[stage], sizes.hidden), (shifted, shifted)
        return elastic.blocks(self, block, x, sizes.depth, keep, shared, own)

    def _merged(self, x: jax.Array, embed_dim: Size) -> jax.Array:
        """(batch, 2·side, 2·side, d) -> (batch, side, side, 2·d)."""
        before, width = self.arch.widths[self.stage - 1], self.arch.widths[self.stage]
        dim_before, dim = embed_dim * 2 ** (self.stage - 1), embed_dim * 2**self.stage
        x = elastic.patches(x, 2)
        # the published order of the four: (row, column) = (0, 0), (1, 0), (0, 1), (1, 1)
        x = x.swapaxes(3, 4).reshape(*x.shape[:3], 4, -1)
        x = LayerNorm((4, before), EPSILON, self.dtype, name='merge_norm')(x, dim_before)
        return Linear((4, before), (width,), self.dtype, use_bias=False, name='merge')(x, dim)


class Model(nn.Module):
    """The Swin of `arch`, which can run every architecture whose sizes are prefixes of its own."""

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
        arch, width, patch = self.arch, self.arch.embed_dim, self.arch.patch
        sizes = sizes_of(arch) if sizes is None else elastic.resolve(sizes)
        embed_dim, x = sizes.embed_dim, elastic.patches(images, patch)
        x = Linear((patch, patch, arch.channels), (width,), self.dtype, name='patch')(x, embed_dim)
        x = LayerNorm((width,), EPSILON, self.dtype, name='patch_norm')(x, embed_dim)
        keep = hierarchy.drop_path(drop_key, self.drop_path, arch.depths, images.shape[0])
        for i, (stage, factors) in enumerate(zip(sizes.stages, keep)):
            x = StageModel(arch, i, self.dtype, name=f'stage{i + 1}')(x, factors, embed_dim, stage)
        last, dim = arch.widths[-1], embed_dim * 2 ** (len(arch.depths) - 1)
        x = LayerNorm((last,), EPSILON, self.dtype, name='norm')(x, dim)
        dtype = jnp.promote_types(self.dtype, jnp.float32)
        return Linear((last,), (arch.classes,), dtype, name='head')(jnp.mean(x, (1, 2)), None)
