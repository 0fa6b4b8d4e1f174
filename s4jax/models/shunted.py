"""The Shunted Transformer (Ren et al., CVPR 2022): elastic in embedding width, depth and, block by block, MLP ratio.

Stage i is embed_dim · 2^i wide with a fixed number of heads. In all but the last stage, half of the heads attend to keys and
values of a map that is `sr_ratio` times coarser, the other half to one half as coarse. The mean of the last map is classified.
"""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from s4jax import elastic
from s4jax.elastic import Conv, DepthwiseConv, LayerNorm, Linear
from s4jax.errors import UsageError
from s4jax.models import hierarchy
from s4jax.models.hierarchy import Stage, sizes_of
from s4jax.search.space import Choices, Stages, per_block

SEARCHED = ('embed_dim', 'depth', 'mlp_ratio')
USUAL = ((2, None), (1, 'depth'), (3, 'depth'), (1, None))  # the paper's stages
EPSILON = 1e-6  # of the norms of blocks and stages
INNER_EPSILON = 1e-5  # inside attention, after the stem and the patch embeddings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(hierarchy.Architecture):
    """The sizes of one Shunted Transformer: `mlp_ratio` holds one value per block, other tuples one per stage.

    A stage's last ratio of 1 means plain attention. The stem has `num_conv` + 1 convolutions of `stem_width` channels.
    """

    num_conv: int = 1
    stem_width: int = 64
    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...] = (2, 4, 8, 16)
    sr_ratios: tuple[int, ...] = (8, 4, 2, 1)
    mlp_ratio: tuple[float, ...]

    MAY_BE_ZERO: ClassVar = ('num_conv',)
    PER_STAGE: ClassVar = ('num_heads', 'sr_ratios')

    def __post_init__(self):
        super().__post_init__()
        for heads, ratio in zip(self.num_heads, self.sr_ratios):
            if ratio > 1 and (heads % 2 or ratio % 2):
                raise UsageError(
                    f'num_heads={heads} and sr_ratio={ratio} of a stage must be even: half of the heads see a map '
                    'half as coarse'
                )
        if not self._fits(self.image_size):
            least = next(
                size
                for size in range(self.image_size, 100 * max(self.sr_ratios) * 4)
                if self._fits(size)
            )
            raise UsageError(
                f'image_size={self.image_size} is too small for sr_ratios={self.sr_ratios}: at least {least}'
            )

    def _fits(self, image_size: int) -> bool:
        return all(
            side >= ratio
            for side, ratio in zip(_maps(image_size, len(self.depths)), self.sr_ratios)
        )

    @property
    def maps(self) -> tuple[int, ...]:
        """The side of each stage's map, in tokens."""
        return _maps(self.image_size, len(self.depths))


def _maps(image_size: int, count: int) -> tuple[int, ...]:
    sides = [(image_size + 1) // 2 // 2]  # a 7×7 convolution and a 2×2 one, both of stride 2
    while len(sides) < count:
        sides.append((sides[-1] + 1) // 2)
    return tuple(sides)


def _stock(num_conv: int, *depths: int) -> dict[str, Any]:
    """The sizes of a published Shunted Transformer: 64 wide, MLP ratio 8 in stages 1 and 2, else 4."""
    return dict(
        embed_dim=64,
        num_conv=num_conv,
        depths=depths,
        mlp_ratio=(8.0,) * sum(depths[:2]) + (4.0,) * sum(depths[2:]),
    )


STOCK = {
    'shunted_t': _stock(0, 1, 2, 4, 1),
    'shunted_s': _stock(1, 2, 4, 12, 1),
    'shunted_b': _stock(2, 3, 4, 24, 2),
}


def stages(names: tuple[str, ...]) -> Stages:
    return hierarchy.stages(names, USUAL)


def architecture(choices: Choices, *, halve_ratios: bool = True, **inputs: Any) -> Architecture:
    """With `halve_ratios`, stages 3 and 4 have half of the chosen MLP ratios.

    The stock model has 8, 8, 4, 4, and only this reading of the paper's {6, 7, 8} reproduces its smallest size of 5M.
    """
    depths = hierarchy.depths(choices, USUAL)
    ratios, full = per_block(choices, 'mlp_ratio'), sum(depths[:2])
    if halve_ratios:
        ratios = ratios[:full] + tuple(ratio / 2 for ratio in ratios[full:])
    return Architecture(embed_dim=choices['embed_dim'], depths=depths, mlp_ratio=ratios, **inputs)


def params(arch: Architecture) -> int:
    """Exact number of parameters; the running statistics of the stem are none."""
    s, e, last = arch.stem_width, arch.embed_dim, arch.widths[-1]
    total = (
        (49 * arch.channels + 2) * s + arch.num_conv * (9 * s * s + 2 * s) + 4 * s * e + e + 2 * e
    )
    total += (
        sum(9 * (d // 2) * d + 3 * d for d in arch.widths[1:])
        + sum(2 * d for d in arch.widths)
        + arch.classes * (last + 1)
    )
    for d, ratio, stage in zip(arch.widths, arch.sr_ratios, sizes_of(arch).stages):
        attention = (
            4 * d * d + 14 * d
            if ratio == 1
            else 4 * d * d + d * d * (ratio**2 + ratio**2 // 4) + 20 * d
        )
        total += sum(attention + 4 * d + 2 * d * h + d + 11 * h for h in stage.hidden)
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: convolutions, linear layers, q·k and attention·v."""
    s, half = arch.stem_width, (arch.image_size + 1) // 2
    total = (
        half**2 * s * (49 * arch.channels + arch.num_conv * 9 * s)
        + arch.maps[0] ** 2 * 4 * s * arch.embed_dim
    )
    total += (
        sum(side**2 * 9 * (d // 2) * d for d, side in zip(arch.widths[1:], arch.maps[1:]))
        + arch.classes * arch.widths[-1]
    )
    for d, ratio, side, stage in zip(arch.widths, arch.sr_ratios, arch.maps, sizes_of(arch).stages):
        tokens = side**2
        attention = 2 * tokens * d * d  # q and the output
        for r in (ratio, ratio // 2) if ratio > 1 else ():
            coarse = (side // r) ** 2
            attention += coarse * (r * r * d * d + d * d + 9 * d // 2) + tokens * coarse * d
        if ratio == 1:
            attention += tokens * (2 * d * d + 9 * d) + 2 * tokens**2 * d
        total += sum(attention + tokens * (2 * d * h + 9 * h) for h in stage.hidden)
    return total


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases and norms, as in the published code."""
    return path[-1] not in ('bias', 'scale')


class ShuntedAttention(nn.Module):
    """Attention of a stage's heads to coarser maps: each half of them to its own, or all of them to the map itself."""

    arch: Architecture
    stage: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, dim, head_dim) -> jax.Array:
        """x (batch, side, side, dim)."""
        width, heads, ratio = (
            of[self.stage] for of in (self.arch.widths, self.arch.num_heads, self.arch.sr_ratios)
        )
        k_width = width // heads
        q = Linear((width,), (heads, k_width), self.dtype, name='q')(x, None, head_dim)
        q = checkpoint_name(q, elastic.SAVED).reshape(x.shape[0], -1, heads, q.shape[-1])
        if ratio == 1:
            kv = Linear((width,), (2, heads, k_width), self.dtype, name='kv')(
                x, None, None, head_dim
            )
            k, v = jnp.moveaxis(checkpoint_name(kv, elastic.SAVED), 3, 0)
            out = elastic.attend(q, tokens(k), tokens(v), head_dim).reshape(v.shape)
            out = out + DepthwiseConv((heads, k_width), self.dtype, name='local')(v, None, head_dim)
        else:
            coarse = []
            for i, r in enumerate((ratio, ratio // 2), 1):
                y = elastic.patches(x, r)
                fan = elastic.fan_out(r * r * width)
                y = Linear((r, r, width), (width,), self.dtype, kernel_init=fan, name=f'reduce{i}')(
                    y, dim
                )
                y = LayerNorm((width,), INNER_EPSILON, self.dtype, name=f'norm{i}')(
                    checkpoint_name(y, elastic.SAVED), dim
                )
                kv = Linear((width,), (2, heads // 2, k_width), self.dtype, name=f'kv{i}')(
                    nn.gelu(y, approximate=False), None, None, head_dim
                )
                k, v = jnp.moveaxis(checkpoint_name(kv, elastic.SAVED), 3, 0)
                v = v + DepthwiseConv((heads // 2, k_width), self.dtype, name=f'local{i}')(
                    v, None, head_dim
                )
                half = slice(0, heads // 2) if i == 1 else slice(heads // 2, None)
                coarse.append(elastic.attend(q[:, :, half], tokens(k), tokens(v), head_dim))
            out = jnp.concatenate(coarse, 2).reshape(*x.shape[:3], heads, -1)
        return Linear((heads, k_width), (width,), self.dtype, name='out')(
            checkpoint_name(out, elastic.SAVED), dim
        )


def tokens(x: jax.Array) -> jax.Array:
    """The tokens (batch, tokens, heads, width) of a map (batch, side, side, heads, width)."""
    return x.reshape(x.shape[0], -1, *x.shape[3:])


class Block(nn.Module):
    """A pre-norm block; between the dense layers of its MLP, a depthwise convolution adds each token's neighbourhood."""

    arch: Architecture
    stage: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, keep: jax.Array | None, dim, head_dim, hidden) -> jax.Array:
        width = self.arch.widths[self.stage]
        factors = (1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None, None]
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, dim)
        y = ShuntedAttention(self.arch, self.stage, self.dtype, name='attention')(y, dim, head_dim)
        x = checkpoint_name(x + factors[0] * y, elastic.SAVED)
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, dim)
        y = checkpoint_name(
            Linear((width,), (self.hidden,), self.dtype, name='fc1')(y, hidden), elastic.SAVED
        )
        y = nn.gelu(
            y + DepthwiseConv((self.hidden,), self.dtype, name='local')(y, hidden),
            approximate=False,
        )
        return x + factors[1] * Linear((self.hidden,), (width,), self.dtype, name='fc2')(y, dim)


class StageModel(nn.Module):
    """One stage: the patch embedding (the stem is the first one's), blocks, a norm."""

    arch: Architecture
    stage: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, keep: jax.Array | None, embed_dim, sizes: Stage) -> jax.Array:
        arch, width, dim = self.arch, self.arch.widths[self.stage], embed_dim * 2**self.stage
        heads, widest = arch.num_heads[self.stage], sizes_of(arch).stages[self.stage]
        if self.stage:
            x = Conv(3, 2, width // 2, width, self.dtype, name='embed')(x, dim)
            x = LayerNorm((width,), INNER_EPSILON, self.dtype, name='embed_norm')(x, dim)

        def block(hidden: int) -> Block:
            return Block(arch, self.stage, hidden, self.dtype, parent=None)

        shared = (width, dim), (width // heads, dim // heads)
        x = elastic.blocks(
            self, block, x, sizes.depth, keep, shared, ((widest.hidden, sizes.hidden),)
        )
        return LayerNorm((width,), EPSILON, self.dtype, name='norm')(x, dim)


class Stem(nn.Module):
    """Convolutions of a fixed width, so that BatchNorm sees the same activations whatever subnet follows.

    Its statistics are those of the global batch, also over several devices (the batch is one sharded array), and the running
    ones that evaluation uses belong to every subnet alike: nothing has to be calibrated after sampling.
    """

    arch: Architecture
    dtype: Any

    @nn.compact
    def __call__(self, images: jax.Array, embed_dim, train: bool) -> jax.Array:
        width, x = self.arch.stem_width, images
        for i in range(self.arch.num_conv + 1):
            size, stride = (3, 1) if i else (7, 2)
            x = nn.Conv(
                width,
                (size, size),
                stride,
                size // 2,
                use_bias=False,
                dtype=self.dtype,
                name=f'conv{i}',
                kernel_init=elastic.fan_out(size * size * width),
            )(x)
            x = nn.relu(
                nn.BatchNorm(
                    not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name=f'norm{i}'
                )(x)
            )
        e = self.arch.embed_dim
        x = Linear(
            (2, 2, width), (e,), self.dtype, kernel_init=elastic.fan_out(4 * e), name='patch'
        )(elastic.patches(x, 2), embed_dim)
        return LayerNorm((e,), INNER_EPSILON, self.dtype, name='norm')(x, embed_dim)


class Model(nn.Module):
    """The Shunted Transformer of `arch`, asked to run any architecture whose sizes are prefixes of its own."""

    arch: Architecture
    dtype: Any = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self, images: jax.Array, sizes: Any = None, drop_key: jax.Array | None = None
    ) -> jax.Array:
        """images (batch, size, size, channels) -> logits (batch, classes); `drop_key` trains with stochastic depth."""
        arch = self.arch
        sizes = sizes_of(arch) if sizes is None else elastic.resolve(sizes)
        keep = hierarchy.drop_path(drop_key, self.drop_path, arch.depths, images.shape[0])
        x = Stem(arch, self.dtype, name='stem')(images, sizes.embed_dim, drop_key is not None)
        for i, (stage, factors) in enumerate(zip(sizes.stages, keep)):
            x = StageModel(arch, i, self.dtype, name=f'stage{i + 1}')(
                x, factors, sizes.embed_dim, stage
            )
        return Linear(
            (arch.widths[-1],),
            (arch.classes,),
            jnp.promote_types(self.dtype, jnp.float32),
            name='head',
        )(jnp.mean(x, (1, 2)), None)
