"""Attention over any number of heads and tokens: written out, or by a fused kernel.

A kernel keeps the logits out of the device's main memory; which one there is depends on the place
that a program is compiled for.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike

from s4jax.elastic.place import here
from s4jax.elastic.sizes import Size

SMALLEST = 128 * 128  # logits of a head, from which a kernel pays: tiles have 128 rows
FAR = -1e4  # the logit of what is not looked at: exp of it is 0


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, head_dim: Size, bias: ArrayLike | None = None
) -> jax.Array:
    """softmax(q·k / √head_dim + bias)·v, with the softmax in float32: (…, queries, heads, width).

    q is (…, queries, heads, width), k and v are (…, keys, heads, width); entries of the width
    beyond `head_dim` are zero. `bias` broadcasts to (…, heads, queries, keys).
    """
    q, k, v = (t.swapaxes(-3, -2) for t in (q, k, v))
    return attend_by_head(q, k, v, head_dim, bias).swapaxes(-3, -2)


def attend_by_head(
    q: jax.Array, k: jax.Array, v: jax.Array, head_dim: Size, bias: ArrayLike | None = None
) -> jax.Array:
    """`attend` of q (…, heads, queries, width), k and v (…, heads, keys, width).

    The width may be larger than `head_dim`, which then only scales.
    """
    place = here()
    if bias is None and q.ndim == 4 and q.shape[-2] * k.shape[-2] >= SMALLEST:
        if place.platform == 'gpu' and q.dtype in (jnp.bfloat16, jnp.float16):
            return _split(_cudnn, place.mesh)(q * _scale(head_dim, q.dtype), k, v)
    logits = (q @ k.swapaxes(-1, -2)).astype(jnp.promote_types(q.dtype, jnp.float32))
    logits = logits * _scale(head_dim, logits.dtype)
    attention = jax.nn.softmax(logits if bias is None else logits + bias)
    return attention.astype(q.dtype) @ v


def _scale(head_dim: Size, dtype: Any) -> Any:
    """1 / √head_dim."""
    if isinstance(head_dim, int):
        return head_dim**-0.5
    return lax.rsqrt(head_dim.astype(jnp.promote_types(dtype, jnp.float32))).astype(dtype)


def _split(kernel: Any, mesh: Mesh | None) -> Any:
    """A kernel that every device calls with its own rows: XLA cannot split one by itself."""
    if mesh is None:
        return kernel
    rows = PartitionSpec(*mesh.axis_names)
    return jax.shard_map(kernel, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False)


def _cudnn(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """cuDNN's fused attention, of q (B, heads, queries, width) that is scaled.

    Its gradient needs even numbers of tokens and widths in eights: both are padded. A column of the
    width, 1 in every query and FAR in a key of padding, keeps that key out of the softmax.
    """
    queries, keys, width = q.shape[2], k.shape[2], v.shape[3]
    if keys % 2:
        mark = jnp.where(jnp.arange(keys + 1) < keys, 0, FAR).astype(k.dtype)
        q = jnp.pad(q, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)
        k = jnp.pad(k, ((0, 0), (0, 0), (0, 1), (0, 0)))
        k = jnp.concatenate([k, jnp.broadcast_to(mark[:, None], (*k.shape[:3], 1))], -1)
    columns = q.shape[3] + -q.shape[3] % 8

    def padded(t: jax.Array) -> jax.Array:
        """(B, tokens, heads, width) in the order that cuDNN has them."""
        rest = ((0, 0), (0, t.shape[2] % 2), (0, 0), (0, columns - t.shape[3]))
        return jnp.pad(t.swapaxes(1, 2), rest)

    out = jax.nn.dot_product_attention(
        padded(q), padded(k), padded(v), scale=1.0, implementation='cudnn'
    )
    return out[:, :queries, :, :width].swapaxes(1, 2)
