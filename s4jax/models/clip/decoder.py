"""An elastic decoder beside a frozen encoder: it reads the encoder's tokens and classifies them.

Its inputs are the encoder's first tokens and the outputs of its last layers. The ladder follows LST
(Sung et al., NeurIPS 2022), the decoder over a frozen CLIP's last layers EVL (Lin et al., ECCV
2022). A decoder of n blocks reads the last n layers in order: block i reads layer L - n + i, so
which layer a block reads depends on the subnet.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pydantic
from jax import lax
from jax.typing import DTypeLike

from s4jax import elastic
from s4jax.elastic import Fixed, LayerNorm, Linear, Mlp, Size
from s4jax.errors import UsageError
from s4jax.models import plain
from s4jax.models.clip.tower import EPSILON, quick_gelu
from s4jax.models.fields import BlockHeads, BlockRatios, Depth, EmbedDim, HeadDim, Heads, Patch
from s4jax.models.plain import Sizes, sizes_of
from s4jax.search.space import Choices, Stages
from s4jax.settings import Int

SEARCHED = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
TEMPERATURE = 0.1  # of the gates, as in LST
BRANCHES = 3  # residual branches of a block


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(plain.Architecture):
    """The sizes of one decoder: `num_heads` and `mlp_ratio` hold one value per block.

    `patch` and `width` are the encoder's; `embed_dim` is the width of the ladder and of the
    cross-attention.
    """

    patch: Patch = 16
    width: Annotated[
        Int, pydantic.Field(ge=1, le=16_384, description="width of the encoder's tokens")
    ] = 768
    head_dim: HeadDim = 64
    cross_heads: Annotated[
        Heads, pydantic.Field(description='attention heads from the tokens to the ladder')
    ] = 6
    embed_dim: EmbedDim
    depth: Depth
    num_heads: BlockHeads
    mlp_ratio: BlockRatios

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embed_dim % self.cross_heads:
            raise UsageError(
                f'embed_dim={self.embed_dim} is not a multiple of cross_heads={self.cross_heads}'
            )

    @property
    def token_dim(self) -> int:
        return self.width


def stages(names: tuple[str, ...]) -> Stages:
    """One stage of `depth` blocks."""
    return ((1, 'depth'),)


def architecture(choices: Choices, **inputs: Any) -> Architecture:
    """The architecture of a point of a space; `inputs` are the fields that are not searched."""
    return Architecture(**plain.fields(choices), **inputs)


def stock(width: int = 768, head_dim: int = 64, **inputs: Any) -> dict[str, Any]:
    """Three blocks, half as wide as the tower's tokens; heads fill the tokens' width."""
    return dict(embed_dim=width / 2, depth=3, num_heads=width / head_dim, mlp_ratio=4)


def params(arch: Architecture) -> int:
    """Exact number of the decoder's parameters; the frozen encoder's are not counted."""
    f, d = arch.width, arch.embed_dim
    total = arch.depth - 1 + 2 * f + (f + 1) * arch.classes
    for heads, h in zip(arch.num_heads, arch.hidden):
        a = heads * arch.head_dim
        total += 4 * f * a + 3 * a + 3 * f * d + 2 * d * d + 6 * d + 2 * f * h + h + 11 * f
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of one image's states: linear layers, q·k and attention·v."""
    f, d, tokens = arch.width, arch.embed_dim, arch.tokens
    total = f * arch.classes
    for heads, h in zip(arch.num_heads, arch.hidden):
        a = heads * arch.head_dim
        total += tokens * (4 * f * a + 3 * f * d + 2 * d * d + 2 * f * h) + 2 * tokens**2 * (a + d)
    return total


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases, norms, gates."""
    return path[-1] not in ('bias', 'scale', 'gates')


class Block(nn.Module):
    """One more layer on the ladder s; then z attends to itself and to the ladder; then an MLP.

    `s = gate·s + (1 - gate)·W layer`, `z += self-attention(z)`, `z += cross-attention(z, s)`,
    `z += mlp(z)`, with norms before all of them.
    """

    arch: Architecture
    num_heads: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        carry: tuple[jax.Array, jax.Array],
        given: dict[str, Any],
        embed_dim: Size,
        num_heads: Size,
        hidden: Size,
    ) -> tuple[jax.Array, jax.Array]:
        """(z (batch, tokens, width), s (batch, tokens, embed_dim)) -> the same shapes.

        given: gate (), layer (batch, tokens, width) of the encoder, and keep (3, batch), the
        factors of stochastic depth, or None.
        """
        (z, s), f = carry, self.arch.width
        gate, keep = given['gate'].astype(self.dtype), given['keep']
        factors = (1, 1, 1) if keep is None else keep.astype(self.dtype)[:, :, None, None]

        layer = self._norm('norm_layer')(lax.stop_gradient(given['layer']), f)
        ladder = Linear((f,), (self.arch.embed_dim,), self.dtype, name='ladder')
        s = elastic.saved(gate * s + (1 - gate) * ladder(layer, embed_dim))
        y = self._self_attention(self._norm('norm1')(z, f), num_heads)
        z = elastic.saved(z + factors[0] * y)
        y = self._cross_attention(self._norm('norm2')(z, f), s, embed_dim)
        z = elastic.saved(z + factors[1] * y)
        mlp = Mlp(f, self.hidden, self.dtype, quick_gelu, name='mlp')
        return z + factors[2] * mlp(self._norm('norm3')(z, f), f, hidden), s

    def _norm(self, name: str, features: int | None = None) -> LayerNorm:
        return LayerNorm((features or self.arch.width,), EPSILON, self.dtype, name=name)

    def _self_attention(self, z: jax.Array, num_heads: Size) -> jax.Array:
        """z (batch, tokens, width) -> the same shape."""
        f, head_dim = self.arch.width, self.arch.head_dim
        qkv = Linear((f,), (3, self.num_heads, head_dim), self.dtype, name='qkv')(
            z, None, num_heads, None
        )
        q, k, v = jnp.moveaxis(elastic.saved(qkv, 3), 2, 0)
        y = elastic.saved(elastic.attend(q, k, v, head_dim), 2)
        return Linear((self.num_heads, head_dim), (f,), self.dtype, name='out')(y, None)

    def _cross_attention(self, z: jax.Array, s: jax.Array, embed_dim: Size) -> jax.Array:
        """z (batch, tokens, width) attends to s (batch, tokens, embed_dim) -> the shape of z."""
        f, d, heads = self.arch.width, self.arch.embed_dim, self.arch.cross_heads
        # A smaller subnet uses a prefix of the width of each head, and all heads.
        widest, head_dim = d // heads, embed_dim // heads
        s = self._norm('norm_ladder', d)(s, embed_dim)
        q = Linear((f,), (heads, widest), self.dtype, name='cross_q')(z, None, head_dim)
        kv = Linear((d,), (2, heads, widest), self.dtype, name='cross_kv')(s, None, None, head_dim)
        q, kv = elastic.saved(q, 2), elastic.saved(kv, 3)
        k, v = jnp.moveaxis(kv, 2, 0)
        y = elastic.saved(elastic.attend(q, k, v, head_dim), 2)
        return Linear((heads, widest), (f,), self.dtype, name='cross_out')(y, None)


class Model(nn.Module):
    """The decoder of `arch`, which can run every decoder whose sizes are prefixes of its own."""

    arch: Architecture
    dtype: DTypeLike = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self,
        states: Sequence[jax.Array],
        sizes: Sizes | Fixed | None = None,
        drop_key: elastic.DropKey | None = None,
    ) -> jax.Array:
        """The states of the encoder, each (batch, tokens, width) -> logits (batch, classes).

        `states` are the encoder's first tokens and the outputs of its last arch.depth layers.
        `sizes` are of the architecture to run, by default the widest; `drop_key` means training,
        with stochastic depth.
        """
        arch = self.arch
        sizes = sizes_of(arch) if sizes is None else elastic.resolve(sizes)
        if len(states) != 1 + arch.depth:
            raise ValueError(
                f'a decoder of depth {arch.depth} needs {1 + arch.depth} states, not {len(states)}'
            )
        first, *layers = states
        z, embed_dim = first.astype(self.dtype), sizes.embed_dim
        ladder = embed_dim if isinstance(embed_dim, int) else arch.embed_dim
        s = jnp.zeros((*z.shape[:-1], ladder), self.dtype)

        def block(i: int, parameters: Any, carry: Any, given: Any, *own: Size) -> Any:
            return self._block(i).apply({'params': parameters}, carry, given, embed_dim, *own)

        blocks, gates = self._parameters(z)
        keep = None
        if drop_key is not None and self.drop_path > 0:
            keep = elastic.drop_path(drop_key, self.drop_path, arch.depth, z.shape[0], BRANCHES)
        given = {'gate': gates, 'keep': keep, 'layer': last_layers(layers, sizes.depth)}
        z, _ = elastic.run_blocks(
            block, blocks, (z, s), sizes.depth, given, sizes.num_heads, sizes.hidden
        )
        z = LayerNorm((arch.width,), EPSILON, self.dtype, name='norm')(z[:, 0], arch.width)
        dtype = jnp.promote_types(self.dtype, jnp.float32)
        return Linear((arch.width,), (arch.classes,), dtype, name='head')(z, None)

    def _block(self, i: int) -> Block:
        arch = self.arch
        return Block(arch, arch.num_heads[i], arch.hidden[i], self.dtype, parent=None)

    def _parameters(self, z: jax.Array) -> tuple[Any, jax.Array]:
        """(the blocks' parameters, the gates of all blocks (depth,)); z (batch, tokens, width)."""
        arch = self.arch

        def init(i: int, key: jax.Array) -> Any:
            carry = z[:1], jnp.zeros((1, *z.shape[1:-1], arch.embed_dim), self.dtype)
            given = {'gate': jnp.zeros(()), 'layer': z[:1], 'keep': None}
            widest = arch.embed_dim, arch.num_heads[i], arch.hidden[i]
            return self._block(i).init(key, carry, given, *widest)['params']

        uniform = len(set(zip(arch.num_heads, arch.hidden))) == 1
        blocks = elastic.parameter(self, 'blocks', elastic.init_blocks, init, arch.depth, uniform)
        gates = jnp.zeros(0)
        if arch.depth > 1:  # Orbax cannot save an empty array
            gates = elastic.parameter(self, 'gates', nn.initializers.zeros, (arch.depth - 1,))
        # The first gate is shut: s_1 = p_1.
        opened = jax.nn.sigmoid(gates / TEMPERATURE)
        return blocks, jnp.concatenate([jnp.zeros(1, gates.dtype), opened])


def last_layers(layers: list[jax.Array], depth: Size) -> jax.Array:
    """(blocks, batch, tokens, width): the layer that each block reads in a subnet of `depth`.

    Each of `layers` is (batch, tokens, width). Blocks beyond the depth read the last layer.
    """
    if isinstance(depth, int):
        return jnp.stack(layers[len(layers) - depth :])
    index = jnp.minimum(len(layers) - depth + jnp.arange(len(layers)), len(layers) - 1)
    return jnp.stack(layers)[index]
