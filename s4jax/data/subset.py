"""An expensive function on the images of a batch that need it, without a branch for each."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax.errors import UsageError

# Values that are worked on in one step: fewer are not worth a step, more need too much memory.
LEAST_VALUES, MOST_VALUES = 2**15, 2**20


def where_needed(
    needed: jax.Array,
    share: float,
    function: Callable[..., jax.Array],
    images: jax.Array,
    arguments: Any,
    shards: int,
) -> jax.Array:
    """`function(images, *arguments)` on the images that need it; the others stay as they are.

    needed bool (B,); images (B, …); arguments: arrays (B, …). About `share` of the images need it,
    so a few are taken at a time, the same number from each of the `shards` devices. The number of
    steps depends on the data; what happens to an image does not depend on the others.
    """
    batch, *shape = images.shape
    if batch % shards:
        raise UsageError(f'a batch of {batch} images does not divide over {shards} devices')
    held = batch // shards
    step = _images_a_step(held, share, shards * int(np.prod(shape)))
    needed, images, arguments = jax.tree.map(
        lambda a: a.reshape(shards, held, *a.shape[1:]), (needed, images, arguments)
    )

    # Rows that need it come first. The others get the number `held`, which is beyond the end:
    # it is read as the last row and never written.
    rows = jnp.sort(jnp.where(needed, jnp.arange(held), held), axis=1)
    rows = jnp.pad(rows, ((0, 0), (0, -held % step)), constant_values=held)
    steps = -(-jnp.max(jnp.sum(needed, axis=1)) // step)

    def body(i: jax.Array, images: jax.Array) -> jax.Array:
        """The images after step i."""
        now = lax.dynamic_slice_in_dim(rows, i * step, step, axis=1)
        read = jax.vmap(lambda a, row: a.at[row].get(mode='clip'))
        take = lambda a: read(a, now).reshape(shards * step, *a.shape[2:])
        new = function(take(images), *jax.tree.map(take, arguments)).reshape(shards, step, *shape)
        return jax.vmap(lambda a, row, value: a.at[row].set(value, mode='drop'))(images, now, new)

    return lax.fori_loop(0, steps, body, images).reshape(batch, *shape)


def _images_a_step(held: int, share: float, values: int) -> int:
    """How many of a device's `held` images are taken at once: about half of those that need it.

    values: numbers in one image of each device.
    """
    least, most = (max(1, min(held, limit // values)) for limit in (LEAST_VALUES, MOST_VALUES))
    return max(least, min(most, round(held * share / 2)))
