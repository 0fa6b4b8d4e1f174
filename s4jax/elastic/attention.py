"""Attention over whichever heads and tokens it is given."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, head_dim: int | jax.Array, bias: Any = None
) -> jax.Array:
    """Attention of q, k, v (…, tokens, heads, width), of whose width `head_dim` are real; softmax in float32.

    `bias`, which broadcasts to (…, heads, queries, keys), is added to the scaled logits.
    """
    q, k, v = (t.swapaxes(-3, -2) for t in (q, k, v))
    logits = (q @ k.swapaxes(-1, -2)).astype(jnp.promote_types(q.dtype, jnp.float32))
    logits = logits * (
        head_dim**-0.5 if isinstance(head_dim, int) else lax.rsqrt(head_dim.astype(logits.dtype))
    )
    return (jax.nn.softmax(logits if bias is None else logits + bias).astype(q.dtype) @ v).swapaxes(
        -3, -2
    )
