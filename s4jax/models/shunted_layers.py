"""The layers of the Shunted Transformer that no other family has: its stem and its attention."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from s4jax import elastic
from s4jax.elastic import DepthwiseConv, LayerNorm, Linear, Size

INNER_EPSILON = 1e-5  # inside attention, after the stem and the patch embeddings


class Stem(nn.Module):
    """Convolutions of a fixed width, so that BatchNorm sees the same activations in every subnet.

    Its statistics are those of the global batch, also over several devices (the batch is one
    sharded array). The running ones, which evaluation uses, hold for all subnets: nothing has to be
    calibrated after sampling.
    """

    num_conv: int
    width: int
    embed_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, embed_dim: Size, train: bool) -> jax.Array:
        """images (batch, size, size, channels) -> the first map (batch, side, side, embed_dim)."""
        width, e, x = self.width, self.embed_dim, images
        for i in range(self.num_conv + 1):
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
            norm = nn.BatchNorm(
                not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name=f'norm{i}'
            )
            x = nn.relu(norm(x))
        fan = elastic.fan_out(4 * e)
        patch = Linear((2, 2, width), (e,), self.dtype, kernel_init=fan, name='patch')
        x = patch(elastic.patches(x, 2), embed_dim)
        return LayerNorm((e,), INNER_EPSILON, self.dtype, name='norm')(x, embed_dim)


class ShuntedAttention(nn.Module):
    """Attention of a stage's heads to coarser maps.

    The first half of the heads attends to a map that is `ratio` times coarser, the second half to
    one that is `ratio / 2` times coarser. With a ratio of 1, all heads attend to the map itself.
    """

    width: int
    heads: int
    ratio: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, dim: Size, head_dim: Size) -> jax.Array:
        """x (batch, side, side, dim) -> the same shape."""
        head_width = self.width // self.heads
        q = Linear((self.width,), (self.heads, head_width), self.dtype, name='q')(x, None, head_dim)
        q = elastic.saved(q, 2).reshape(x.shape[0], -1, self.heads, q.shape[-1])
        if self.ratio == 1:
            k, v = self._keys_and_values(x, self.heads, head_dim, 'kv')
            local = DepthwiseConv((self.heads, head_width), self.dtype, name='local')
            out = elastic.attend(q, tokens(k), tokens(v), head_dim).reshape(v.shape)
            out = out + local(v, None, head_dim)
        else:
            half = self.heads // 2
            coarse = self._attend_to_coarser(q[:, :, :half], x, self.ratio, dim, head_dim, 1)
            finer = self._attend_to_coarser(q[:, :, half:], x, self.ratio // 2, dim, head_dim, 2)
            out = jnp.concatenate([coarse, finer], 2).reshape(*x.shape[:3], self.heads, -1)
        out = elastic.saved(out, 2)
        return Linear((self.heads, head_width), (self.width,), self.dtype, name='out')(out, dim)

    def _attend_to_coarser(
        self, q: jax.Array, x: jax.Array, ratio: int, dim: Size, head_dim: Size, number: int
    ) -> jax.Array:
        """q (batch, tokens, heads / 2, head_dim) on x (batch, side, side, dim) made `ratio` times
        coarser -> the shape of q. `number` is in the names of the layers."""
        half, fan = self.heads // 2, elastic.fan_out(ratio * ratio * self.width)
        reduce = Linear(
            (ratio, ratio, self.width),
            (self.width,),
            self.dtype,
            kernel_init=fan,
            name=f'reduce{number}',
        )
        norm = LayerNorm((self.width,), INNER_EPSILON, self.dtype, name=f'norm{number}')
        y = elastic.saved(reduce(elastic.patches(x, ratio), dim))
        y = nn.gelu(norm(y, dim), approximate=False)
        k, v = self._keys_and_values(y, half, head_dim, f'kv{number}')
        local = DepthwiseConv((half, self.width // self.heads), self.dtype, name=f'local{number}')
        v = v + local(v, None, head_dim)
        return elastic.attend(q, tokens(k), tokens(v), head_dim)

    def _keys_and_values(
        self, x: jax.Array, heads: int, head_dim: Size, name: str
    ) -> tuple[jax.Array, jax.Array]:
        """x (batch, side, side, dim) -> k and v, each (batch, side, side, heads, head_dim)."""
        outputs = (2, heads, self.width // self.heads)
        kv = Linear((self.width,), outputs, self.dtype, name=name)(x, None, None, head_dim)
        k, v = jnp.moveaxis(elastic.saved(kv, 3), 3, 0)
        return k, v


def tokens(x: jax.Array) -> jax.Array:
    """The tokens (batch, tokens, heads, width) of a map (batch, side, side, heads, width)."""
    return x.reshape(x.shape[0], -1, *x.shape[3:])
