"""The Swin Transformer (Liu et al., ICCV 2021): elastic in embedding width, in depth and, block by block, in MLP ratio.

Stage i is embed_dim · 2^i wide with a fixed number of heads; attention stays within windows, which every second block
shifts by half a window; between stages, 2×2 neighbours are merged. The mean of the last map is classified.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from s4jax import elastic
from s4jax.elastic import LayerNorm, Linear, Mlp
from s4jax.errors import UsageError
from s4jax.models import hierarchy
from s4jax.models.hierarchy import Stage, sizes_of
from s4jax.search.space import Choices, Stages, per_block

SEARCHED = ('embed_dim', 'depth', 'mlp_ratio')
USUAL = ((2, None), (2, None), (1, 'depth'), (2, None))  # the paper's stages
EPSILON = 1e-5
MASKED = (
    -100.0
)  # what published code adds between tokens of one window that are no neighbours in the image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(hierarchy.Architecture):
    """The sizes of one Swin: `depths` and `num_heads` hold one value per stage, `mlp_ratio` one per block."""

    patch: int = 4
    window: int = 7
    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    mlp_ratio: tuple[float, ...]

    def __post_init__(self):
        super().__post_init__()
        if not self._fits(self.image_size):
            unit = self.patch * 2 ** (len(self.depths) - 1)
            sizes = [
                size
                for size in range(unit, max(self.image_size, unit * 4 * self.window) + 1, unit)
                if self._fits(size)
            ]
            near = sorted(sorted(sizes, key=lambda size: abs(size - self.image_size))[:4])
            raise UsageError(
                f'image_size={self.image_size} does not go into patches of {self.patch}, {len(self.depths)} stages '
                f'and windows of {self.window}; sizes that do: {", ".join(map(str, near))}, …'
            )

    def _fits(self, image_size: int) -> bool:
        """Whether every map is cut into whole windows, or is one, and every map but the last into pairs."""
        side, rest = divmod(image_size, self.patch * 2 ** (len(self.depths) - 1))
        maps = [side * 2**i for i in range(len(self.depths))]
        return (
            side > 0 and rest == 0 and all(m <= self.window or m % self.window == 0 for m in maps)
        )

    @property
    def maps(self) -> tuple[int, ...]:
        """The side of each stage's map, in tokens."""
        return tuple(self.image_size // self.patch // 2**i for i in range(len(self.depths)))

    @property
    def windows(self) -> tuple[int, ...]:
        """The side of each stage's windows: a map that is no larger than the window is one window."""
        return tuple(min(self.window, side) for side in self.maps)


def _stock(embed_dim: int, third: int, heads: int) -> dict[str, Any]:
    """The sizes of a published Swin: 2, 2, `third`, 2 blocks, MLP ratio 4, twice the heads in every stage."""
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
    return hierarchy.stages(names, USUAL)


def architecture(choices: Choices, **inputs: Any) -> Architecture:
    return Architecture(
        embed_dim=choices['embed_dim'],
        depths=hierarchy.depths(choices, USUAL),
        mlp_ratio=per_block(choices, 'mlp_ratio'),
        **inputs,
    )


def params(arch: Architecture) -> int:
    """Exact number of parameters."""
    e, last = arch.embed_dim, arch.widths[-1]
    total = e * (arch.channels * arch.patch**2 + 1) + 2 * e + 2 * last + arch.classes * (last + 1)
    total += sum(8 * d * d + 8 * d for d in arch.widths[:-1])
    for d, window, heads, stage in zip(
        arch.widths, arch.windows, arch.num_heads, sizes_of(arch).stages
    ):
        total += sum(
            4 * d * d + 9 * d + 2 * d * h + h + (2 * window - 1) ** 2 * heads for h in stage.hidden
        )
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: linear layers, q·k and attention·v."""
    total = (
        arch.maps[0] ** 2 * arch.embed_dim * arch.channels * arch.patch**2
        + arch.classes * arch.widths[-1]
    )
    total += sum((side // 2) ** 2 * 8 * d * d for d, side in zip(arch.widths[:-1], arch.maps))
    for d, side, window, stage in zip(arch.widths, arch.maps, arch.windows, sizes_of(arch).stages):
        total += sum(side**2 * (4 * d * d + 2 * d * h + 2 * window**2 * d) for h in stage.hidden)
    return total


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases, norms and relative positions, as in the published code."""
    return path[-1] not in ('bias', 'scale', 'positions')


class WindowAttention(nn.Module):
    """Self-attention within each window, with a learned bias for every relative position."""

    arch: Architecture
    stage: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, dim, head_dim, mask: jax.Array | None) -> jax.Array:
        """x (batch, windows, tokens, dim); `mask` (windows, 1, tokens, tokens) is added to the logits."""
        width, heads, window = (
            of[self.stage] for of in (self.arch.widths, self.arch.num_heads, self.arch.windows)
        )
        qkv = Linear((width,), (3, heads, width // heads), self.dtype, name='qkv')(
            x, None, None, head_dim
        )
        table = self.param(
            'positions', nn.initializers.truncated_normal(0.02), ((2 * window - 1) ** 2, heads)
        )
        bias = table[_relative(window)].transpose(2, 0, 1)
        out = elastic.attend(
            *jnp.moveaxis(checkpoint_name(qkv, elastic.SAVED), -3, 0),
            head_dim,
            bias if mask is None else bias + mask,
        )
        out = checkpoint_name(out, elastic.SAVED)
        return Linear((heads, width // heads), (width,), self.dtype, name='out')(out, dim)


def _relative(window: int) -> np.ndarray:
    """(tokens, tokens): the row of the table for each query and key of a window."""
    rows, columns = np.divmod(np.arange(window**2), window)
    return (
        (rows[:, None] - rows + window - 1) * (2 * window - 1)
        + columns[:, None]
        - columns
        + window
        - 1
    )


def _mask(side: int, window: int) -> np.ndarray:
    """(windows, 1, tokens, tokens): MASKED where a shifted window joins tokens that come from opposite borders."""
    shift, n = window // 2, side // window
    strip = np.repeat([0, 1, 2], [side - window, window - shift, shift])
    region = (3 * strip.reshape(n, 1, window, 1) + strip.reshape(1, n, 1, window)).reshape(
        n * n, 1, window**2
    )
    return np.where(region[..., None] == region[..., None, :], 0, MASKED).astype(np.float32)


def cut(x: jax.Array, window: int) -> jax.Array:
    """The windows (batch, windows, tokens, d) of a map (batch, side, side, d)."""
    return elastic.patches(x, window).reshape(x.shape[0], -1, window**2, x.shape[-1])


def joined(x: jax.Array, side: int, window: int) -> jax.Array:
    """The map (batch, side, side, d) of its windows (batch, windows, tokens, d)."""
    n = side // window
    return (
        x.reshape(x.shape[0], n, n, window, window, -1)
        .swapaxes(2, 3)
        .reshape(x.shape[0], side, side, -1)
    )


class Block(nn.Module):
    """A pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`, each branch times its stochastic-depth factor."""

    arch: Architecture
    stage: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, dim, head_dim, hidden, shifted
    ) -> jax.Array:
        """x (batch, side, side, dim). `shifted` is 1 or 0; in a scan it is traced, and both rolls are at hand."""
        width, side, window = (
            of[self.stage] for of in (self.arch.widths, self.arch.maps, self.arch.windows)
        )
        factors = (1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None, None]
        shift, mask, traced = window // 2, None, isinstance(shifted, jax.Array)
        shifts = side > window and (
            traced or bool(shifted)
        )  # a single window has no neighbour to shift to

        def roll(x: jax.Array, by: int) -> jax.Array:
            if not shifts:
                return x
            rolled = jnp.roll(x, (by, by), (1, 2))
            return jnp.where(shifted > 0, rolled, x) if traced else rolled

        if shifts:
            mask = _mask(side, window) * lax.stop_gradient(shifted)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, dim)
        y = WindowAttention(self.arch, self.stage, self.dtype, name='attention')(
            cut(roll(y, -shift), window), dim, head_dim, mask
        )
        x = checkpoint_name(x + factors[0] * roll(joined(y, side, window), shift), elastic.SAVED)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, dim)
        return x + factors[1] * Mlp(width, self.hidden, self.dtype, name='mlp')(y, dim, hidden)


class StageModel(nn.Module):
    """One stage: the merging of 2×2 neighbours (not in the first), then blocks, every second one shifted."""

    arch: Architecture
    stage: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, keep: jax.Array | None, embed_dim, sizes: Stage) -> jax.Array:
        arch, width, dim = self.arch, self.arch.widths[self.stage], embed_dim * 2**self.stage
        heads, widest = arch.num_heads[self.stage], sizes_of(arch).stages[self.stage]
        if self.stage:
            before, half = width // 2, embed_dim * 2 ** (self.stage - 1)
            # the published order of the four: (row, column) = (0, 0), (1, 0), (0, 1), (1, 1)
            x = (
                elastic.patches(x, 2)
                .swapaxes(3, 4)
                .reshape(x.shape[0], x.shape[1] // 2, x.shape[2] // 2, 4, -1)
            )
            x = LayerNorm((4, before), EPSILON, self.dtype, name='merge_norm')(x, half)
            x = Linear((4, before), (width,), self.dtype, use_bias=False, name='merge')(x, dim)

        def block(hidden: int, _) -> Block:
            return Block(arch, self.stage, hidden, self.dtype, parent=None)

        shifted = np.float32(np.arange(widest.depth) % 2)
        own = (widest.hidden, sizes.hidden), (shifted, shifted)
        return elastic.blocks(
            self, block, x, sizes.depth, keep, ((width, dim), (width // heads, dim // heads)), own
        )


class Model(nn.Module):
    """The Swin of `arch`, asked to run any architecture whose sizes are prefixes of its own."""

    arch: Architecture
    dtype: Any = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self, images: jax.Array, sizes: Any = None, drop_key: jax.Array | None = None
    ) -> jax.Array:
        """images (batch, size, size, channels) -> logits (batch, classes); `drop_key` trains with stochastic depth."""
        arch, patch, last = self.arch, self.arch.patch, self.arch.widths[-1]
        sizes = sizes_of(arch) if sizes is None else elastic.resolve(sizes)
        embed_dim, keep = (
            sizes.embed_dim,
            hierarchy.drop_path(drop_key, self.drop_path, arch.depths, images.shape[0]),
        )
        x = Linear((patch, patch, arch.channels), (arch.embed_dim,), self.dtype, name='patch')(
            elastic.patches(images, patch), embed_dim
        )
        x = LayerNorm((arch.embed_dim,), EPSILON, self.dtype, name='patch_norm')(x, embed_dim)
        for i, (stage, factors) in enumerate(zip(sizes.stages, keep)):
            x = StageModel(arch, i, self.dtype, name=f'stage{i + 1}')(x, factors, embed_dim, stage)
        x = LayerNorm((last,), EPSILON, self.dtype, name='norm')(
            x, embed_dim * 2 ** (len(arch.depths) - 1)
        )
        return Linear(
            (last,), (arch.classes,), jnp.promote_types(self.dtype, jnp.float32), name='head'
        )(jnp.mean(x, (1, 2)), None)
