"""The Shunted Transformer (Ren et al., CVPR 2022).

Elastic in embedding width, depth and, block by block, MLP ratio. Stage i is embed_dim · 2^i wide
with a fixed number of heads. In all but the last stage, half of the heads attend to keys and values
of a map that is `sr_ratio` times coarser, the other half to one half as coarse. The mean of the
last map is classified.
"""

import dataclasses
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from pydantic import Field

from s4jax import elastic
from s4jax.elastic import Conv, DepthwiseConv, Fixed, LayerNorm, Linear, Size
from s4jax.errors import UsageError
from s4jax.models import hierarchy
from s4jax.models.fields import (
    MAX_IMAGE_SIZE,
    MAX_STAGES,
    SEQUENCE,
    BlockRatios,
    EmbedDim,
    StageDepths,
    StageHeads,
)
from s4jax.models.hierarchy import Sizes, Stage, sizes_of
from s4jax.models.shunted_layers import INNER_EPSILON, ShuntedAttention, Stem
from s4jax.search.space import Choices, Stages
from s4jax.settings import Bool, Int

SEARCHED = ('embed_dim', 'depth', 'mlp_ratio')
USUAL = ((2, None), (1, 'depth'), (3, 'depth'), (1, None))  # the paper's stages
EPSILON = 1e-6  # of the norms of blocks and stages


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(hierarchy.Architecture):
    """The sizes of one Shunted Transformer: `mlp_ratio` holds one value per block, other tuples one
    per stage. The stem has `num_conv` + 1 convolutions of `stem_width` channels."""

    num_conv: Annotated[
        Int, Field(ge=0, le=64, description='3×3 convolutions of the stem after its 7×7 one')
    ] = 1
    stem_width: Annotated[
        Int, Field(ge=1, le=4096, description='channels of the convolutions of the stem')
    ] = 64
    embed_dim: EmbedDim
    depths: StageDepths
    num_heads: StageHeads = (2, 4, 8, 16)
    sr_ratios: Annotated[
        tuple[Annotated[Int, Field(ge=1, le=1024)], ...],
        SEQUENCE,
        Field(
            min_length=1,
            max_length=MAX_STAGES,
            description='how many times smaller, in each direction, the map of the keys and values '
            'of each stage is; 1 is plain attention',
        ),
    ] = (8, 4, 2, 1)
    mlp_ratio: BlockRatios

    PER_STAGE: ClassVar[tuple[str, ...]] = ('num_heads', 'sr_ratios')

    def __post_init__(self) -> None:
        super().__post_init__()
        for heads, ratio in zip(self.num_heads, self.sr_ratios):
            if ratio > 1 and (heads % 2 or ratio % 2):
                raise UsageError(
                    f'num_heads={heads} and sr_ratio={ratio} of a stage must be even: half of the '
                    'heads see a map half as coarse'
                )
        if not self._fits(self.image_size):
            larger = filter(self._fits, range(self.image_size, MAX_IMAGE_SIZE + 1))
            least = next((f'at least {size}' for size in larger), 'write smaller ones')
            raise UsageError(
                f'image_size={self.image_size} is too small for sr_ratios={self.sr_ratios}: {least}'
            )

    def _fits(self, image_size: int) -> bool:
        sides = _maps(image_size, len(self.depths))
        return all(side >= ratio for side, ratio in zip(sides, self.sr_ratios))

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
    """The sizes of a published model: 64 wide, MLP ratio 8 in stages 1 and 2, else 4."""
    ratios = (8.0,) * sum(depths[:2]) + (4.0,) * sum(depths[2:])
    return dict(embed_dim=64, num_conv=num_conv, depths=depths, mlp_ratio=ratios)


STOCK = {
    'shunted_t': _stock(0, 1, 2, 4, 1),
    'shunted_s': _stock(1, 2, 4, 12, 1),
    'shunted_b': _stock(2, 3, 4, 24, 2),
}


def stages(names: tuple[str, ...]) -> Stages:
    """The stages of a space with dimensions of these names."""
    return hierarchy.stages(names, USUAL)


def architecture(
    choices: Choices,
    *,
    halve_ratios: Annotated[
        Bool, Field(description='whether stages 3 and 4 have half of the chosen MLP ratios')
    ] = True,
    **inputs: Any,
) -> Architecture:
    """The architecture of a point of a space; `inputs` are the fields that are not searched.

    With `halve_ratios`, stages 3 and 4 have half of the chosen MLP ratios: the stock model has
    8, 8, 4, 4, and only this reading of the paper's {6, 7, 8} gives its smallest size of 5M.
    """
    fields = hierarchy.fields(choices, USUAL)
    if halve_ratios:
        ratios, full = fields['mlp_ratio'], sum(fields['depths'][:2])
        fields['mlp_ratio'] = ratios[:full] + tuple(ratio / 2 for ratio in ratios[full:])
    return Architecture(**fields, **inputs)


def stock(**inputs: Any) -> dict[str, Any]:
    """The shape of Shunted-S."""
    return dict(embed_dim=64, depth=(2, 4, 12, 1), mlp_ratio=8)


def params(arch: Architecture) -> int:
    """Exact number of parameters; the running statistics of the stem are not among them."""
    s, e, widths = arch.stem_width, arch.embed_dim, arch.widths
    total = (49 * arch.channels + 2) * s + arch.num_conv * (9 * s * s + 2 * s)  # the stem
    total += 4 * s * e + e + 2 * e  # the first patch embedding, the others below
    total += sum(9 * (d // 2) * d + 3 * d for d in widths[1:])
    total += sum(2 * d for d in widths) + arch.classes * (widths[-1] + 1)
    for d, ratio, hidden in zip(widths, arch.sr_ratios, arch.hidden):
        attention = 4 * d * d + 14 * d
        if ratio > 1:
            attention = 4 * d * d + d * d * (ratio**2 + ratio**2 // 4) + 20 * d
        total += sum(attention + 4 * d + 2 * d * h + d + 11 * h for h in hidden)
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image forward: convolutions, linear layers, q·k, attention·v."""
    s, half, widths, maps = arch.stem_width, (arch.image_size + 1) // 2, arch.widths, arch.maps
    total = half**2 * s * (49 * arch.channels + arch.num_conv * 9 * s)
    total += maps[0] ** 2 * 4 * s * arch.embed_dim
    total += sum(side**2 * 9 * (d // 2) * d for d, side in zip(widths[1:], maps[1:]))
    total += arch.classes * widths[-1]
    for d, ratio, side, hidden in zip(widths, arch.sr_ratios, maps, arch.hidden):
        tokens = side**2
        attention = 2 * tokens * d * d  # q and the output
        for r in (ratio, ratio // 2) if ratio > 1 else ():
            coarse = (side // r) ** 2
            attention += coarse * (r * r * d * d + d * d + 9 * d // 2) + tokens * coarse * d
        if ratio == 1:
            attention += tokens * (2 * d * d + 9 * d) + 2 * tokens**2 * d
        total += sum(attention + tokens * (2 * d * h + 9 * h) for h in hidden)
    return total


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases and norms, as in the published code."""
    return path[-1] not in ('bias', 'scale')


class Block(nn.Module):
    """A pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Between the dense layers of the MLP, a depthwise convolution adds the neighbourhood of each
    token. Each branch is multiplied by its factor of stochastic depth.
    """

    arch: Architecture
    stage: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, dim: Size, head_dim: Size, hidden: Size
    ) -> jax.Array:
        """x (batch, side, side, dim) -> the same shape; `keep` (2, batch) are the factors."""
        arch, stage, width = self.arch, self.stage, self.arch.widths[self.stage]
        factors = (1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None, None]
        attention = ShuntedAttention(
            width, arch.num_heads[stage], arch.sr_ratios[stage], self.dtype, name='attention'
        )
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm1')(x, dim)
        x = elastic.saved(x + factors[0] * attention(y, dim, head_dim))
        y = LayerNorm((width,), EPSILON, self.dtype, name='norm2')(x, dim)
        y = Linear((width,), (self.hidden,), self.dtype, name='fc1')(y, hidden)
        y = elastic.saved(y)
        local = DepthwiseConv((self.hidden,), self.dtype, name='local')(y, hidden)
        y = nn.gelu(y + local, approximate=False)
        return x + factors[1] * Linear((self.hidden,), (width,), self.dtype, name='fc2')(y, dim)


class StageModel(nn.Module):
    """One stage: the patch embedding (in the first stage the stem has it), the blocks, a norm."""

    arch: Architecture
    stage: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: jax.Array, keep: jax.Array | None, embed_dim: Size, sizes: Stage
    ) -> jax.Array:
        """The map of the stage before, or of the stem -> (batch, side, side, dim).

        `keep` (blocks, 2, batch) are the factors of stochastic depth.
        """
        arch, stage = self.arch, self.stage
        width, dim, heads = arch.widths[stage], embed_dim * 2**stage, arch.num_heads[stage]
        if stage:
            x = Conv(3, 2, width // 2, width, self.dtype, name='embed')(x, dim)
            x = LayerNorm((width,), INNER_EPSILON, self.dtype, name='embed_norm')(x, dim)

        def block(hidden: int) -> Block:
            return Block(arch, stage, hidden, self.dtype, parent=None)

        shared = (width, dim), (width // heads, dim // heads)
        own = ((arch.hidden[stage], sizes.hidden),)
        x = elastic.blocks(self, block, x, sizes.depth, keep, shared, own)
        return LayerNorm((width,), EPSILON, self.dtype, name='norm')(x, dim)


class Model(nn.Module):
    """The Shunted Transformer of `arch`, which can run every one whose sizes are prefixes of its
    own."""

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
        embed_dim = sizes.embed_dim
        stem = Stem(arch.num_conv, arch.stem_width, arch.embed_dim, self.dtype, name='stem')
        x = stem(images, embed_dim, drop_key is not None)
        keep = hierarchy.drop_path(drop_key, self.drop_path, arch.depths, images.shape[0])
        for i, (stage, factors) in enumerate(zip(sizes.stages, keep)):
            x = StageModel(arch, i, self.dtype, name=f'stage{i + 1}')(x, factors, embed_dim, stage)
        dtype = jnp.promote_types(self.dtype, jnp.float32)
        head = Linear((arch.widths[-1],), (arch.classes,), dtype, name='head')
        return head(jnp.mean(x, (1, 2)), None)
