"""An elastic decoder beside a frozen encoder: it reads the first tokens and the outputs of the last layers, and classifies.

The ladder follows LST (Sung et al., NeurIPS 2022), the decoder over a frozen CLIP's last layers EVL (Lin et al., ECCV 2022). A
decoder of n blocks reads the last n layers in order, so that block i reads layer L - n + i: which one depends on the subnet.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from s4jax import elastic
from s4jax.elastic import LayerNorm, Linear, Mlp
from s4jax.errors import UsageError
from s4jax.models.clip.tower import EPSILON, quick_gelu
from s4jax.search.space import Architecture as BaseArchitecture
from s4jax.search.space import Choices, Stages, per_block

SEARCHED = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
TEMPERATURE = 0.1  # of the gates, as in LST


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(BaseArchitecture):
    """The sizes of one decoder. `patch` and `width` are the encoder's; `num_heads` and `mlp_ratio` hold one value per block.

    `embed_dim` is the width of the ladder and of the cross-attention, which has `cross_heads` heads.
    """

    patch: int = 16
    width: int = 768
    head_dim: int = 64
    cross_heads: int = 6
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
        if self.embed_dim % self.cross_heads:
            raise UsageError(
                f'embed_dim={self.embed_dim} is not a multiple of cross_heads={self.cross_heads}'
            )

    @property
    def tokens(self) -> int:
        return (self.image_size // self.patch) ** 2 + 1


class Sizes(NamedTuple):
    """What the forward pass needs of an architecture: see `elastic` for the kinds of size."""

    embed_dim: Any
    depth: Any
    num_heads: Any
    hidden: Any


def stages(names: tuple[str, ...]) -> Stages:
    return ((1, 'depth'),)


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
        tuple(int(arch.width * r) for r in arch.mlp_ratio),
    )


def params(arch: Architecture) -> int:
    """Exact number of the decoder's parameters; the frozen encoder's are not counted."""
    f, d = arch.width, arch.embed_dim
    total = arch.depth - 1 + 2 * f + (f + 1) * arch.classes
    for heads, h in zip(arch.num_heads, sizes_of(arch).hidden):
        a = heads * arch.head_dim
        total += 4 * f * a + 3 * a + 3 * f * d + 2 * d * d + 6 * d + 2 * f * h + h + 11 * f
    return total


def macs(arch: Architecture) -> int:
    """Multiply-accumulates of the decoder on one image's features: linear layers, q·k and attention·v."""
    f, d, tokens = arch.width, arch.embed_dim, arch.tokens
    total = f * arch.classes
    for heads, h in zip(arch.num_heads, sizes_of(arch).hidden):
        a = heads * arch.head_dim
        total += tokens * (4 * f * a + 3 * f * d + 2 * d * d + 2 * f * h) + 2 * tokens**2 * (a + d)
    return total


def decays(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: not to biases, norms, gates."""
    return path[-1] not in ('bias', 'scale', 'gates')


class Block(nn.Module):
    """(z, s) -> (z, s): one more layer on the ladder s, then z attends to itself and to the ladder, and an MLP."""

    arch: Architecture
    num_heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, carry, given, embed_dim, num_heads, hidden) -> tuple[jax.Array, jax.Array]:
        (z, s), arch = carry, self.arch
        f, d, heads, of_head = (
            arch.width,
            arch.embed_dim,
            arch.cross_heads,
            embed_dim // arch.cross_heads,
        )
        gate = given['gate'].astype(self.dtype)
        factors = (
            (1, 1, 1)
            if given['keep'] is None
            else given['keep'].astype(self.dtype)[:, :, None, None]
        )

        def norm(name: str, features: int = f):
            return LayerNorm((features,), EPSILON, self.dtype, name=name)

        layer = norm('norm_layer')(lax.stop_gradient(given['layer']), f)
        s = gate * s + (1 - gate) * Linear((f,), (d,), self.dtype, name='ladder')(layer, embed_dim)
        s = checkpoint_name(s, elastic.SAVED)

        qkv = Linear((f,), (3, self.num_heads, arch.head_dim), self.dtype, name='qkv')(
            norm('norm1')(z, f), None, num_heads, None
        )
        y = elastic.attend(*jnp.moveaxis(checkpoint_name(qkv, elastic.SAVED), 2, 0), arch.head_dim)
        y = Linear((self.num_heads, arch.head_dim), (f,), self.dtype, name='out')(
            checkpoint_name(y, elastic.SAVED), None
        )
        z = checkpoint_name(z + factors[0] * y, elastic.SAVED)

        # the heads of the cross-attention are of_head wide: a prefix within each head, not of all heads in a row
        q = Linear((f,), (heads, d // heads), self.dtype, name='cross_q')(
            norm('norm2')(z, f), None, of_head
        )
        kv = Linear((d,), (2, heads, d // heads), self.dtype, name='cross_kv')(
            norm('norm_ladder', d)(s, embed_dim), None, None, of_head
        )
        q, kv = checkpoint_name(q, elastic.SAVED), checkpoint_name(kv, elastic.SAVED)
        y = checkpoint_name(elastic.attend(q, *jnp.moveaxis(kv, 2, 0), of_head), elastic.SAVED)
        y = Linear((heads, d // heads), (f,), self.dtype, name='cross_out')(y, None)
        z = checkpoint_name(z + factors[1] * y, elastic.SAVED)

        y = Mlp(f, self.hidden, self.dtype, quick_gelu, name='mlp')(norm('norm3')(z, f), f, hidden)
        return z + factors[2] * y, s


class Model(nn.Module):
    """The decoder of `arch`, asked to run any architecture whose sizes are prefixes of its own."""

    arch: Architecture
    dtype: Any = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self, states: tuple[jax.Array, ...], sizes: Any = None, drop_key: jax.Array | None = None
    ) -> jax.Array:
        """states: the encoder's first tokens and the outputs of its last arch.depth layers, each (batch, tokens, width)
        -> logits (batch, classes); `drop_key` trains with stochastic depth."""
        arch, widest = self.arch, sizes_of(self.arch)
        sizes = widest if sizes is None else elastic.resolve(sizes)
        if len(states) != 1 + arch.depth:
            raise ValueError(
                f'a decoder of depth {arch.depth} needs {1 + arch.depth} states, not {len(states)}'
            )
        first, *layers = states
        z, embed_dim = first.astype(self.dtype), sizes.embed_dim
        ladder = embed_dim if isinstance(embed_dim, int) else arch.embed_dim
        s = jnp.zeros((*z.shape[:-1], ladder), self.dtype)

        def block(i: int) -> Block:
            return Block(arch, widest.num_heads[i], widest.hidden[i], self.dtype, parent=None)

        def init_block(i: int, key: jax.Array):
            carry = z[:1], jnp.zeros((1, *z.shape[1:-1], arch.embed_dim), self.dtype)
            given = {'gate': jnp.zeros(()), 'layer': z[:1], 'keep': None}
            return block(i).init(
                key, carry, given, arch.embed_dim, widest.num_heads[i], widest.hidden[i]
            )['params']

        def apply_block(i: int, parameters, carry, given, num_heads, hidden):
            return block(i).apply(
                {'params': parameters}, carry, given, embed_dim, num_heads, hidden
            )

        uniform = len(set(zip(widest.num_heads, widest.hidden))) == 1
        blocks = self.param('blocks', elastic.init_blocks, init_block, arch.depth, uniform)
        gates = jnp.zeros(
            0
        )  # a decoder of one block has none, and Orbax cannot save an empty array
        if arch.depth > 1:
            gates = self.param('gates', nn.initializers.zeros, (arch.depth - 1,))
        keep = None
        if drop_key is not None and self.drop_path > 0:
            keep = elastic.drop_path(drop_key, self.drop_path, arch.depth, z.shape[0], branches=3)
        # s_1 = p_1: the first gate is shut. Block i of n reads the i-th of the last n layers, whatever arch.depth is
        given = {
            'gate': jnp.concatenate(
                [jnp.zeros(1, gates.dtype), jax.nn.sigmoid(gates / TEMPERATURE)]
            ),
            'keep': keep,
            'layer': last_layers(layers, sizes.depth),
        }
        z, _ = elastic.run_blocks(
            apply_block, blocks, (z, s), sizes.depth, given, sizes.num_heads, sizes.hidden
        )
        z = LayerNorm((arch.width,), EPSILON, self.dtype, name='norm')(z[:, 0], arch.width)
        return Linear(
            (arch.width,), (arch.classes,), jnp.promote_types(self.dtype, jnp.float32), name='head'
        )(z, None)


def last_layers(layers: list[jax.Array], depth: int | jax.Array) -> jax.Array:
    """(blocks, batch, tokens, width): what each block reads in a subnet of `depth` blocks. Those beyond it read the last."""
    if isinstance(depth, int):
        return jnp.stack(layers[len(layers) - depth :])
    index = jnp.minimum(len(layers) - depth + jnp.arange(len(layers)), len(layers) - 1)
    return jnp.stack(layers)[index]
