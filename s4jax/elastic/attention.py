"""Attention over any number of heads and tokens."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from s4jax.elastic.sizes import Size


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, head_dim: Size, bias: ArrayLike | None = None
) -> jax.Array:
    """softmax(q·k / √head_dim + bias)·v, with the softmax in float32: (…, queries, heads, width).

    q is (…, queries, heads, width), k and v are (…, keys, heads, width); entries of the width
    beyond `head_dim` are zero. `bias` broadcasts to (…, heads, queries, keys).
    """
    q, k, v = (t.swapaxes(-3, -2) for t in (q, k, v))
    logits = (q @ k.swapaxes(-1, -2)).astype(jnp.promote_types(q.dtype, jnp.float32))
    if isinstance(head_dim, int):
        logits = logits * head_dim**-0.5
    else:
        logits = logits * lax.rsqrt(head_dim.astype(logits.dtype))
    attention = jax.nn.softmax(logits if bias is None else logits + bias)
    return (attention.astype(q.dtype) @ v).swapaxes(-3, -2)
