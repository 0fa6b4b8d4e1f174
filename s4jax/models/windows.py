"""The windows that a map is cut into, for attention within each."""

import jax
import numpy as np

from s4jax import elastic

# Added to the logits between tokens of a window that are no neighbours in the image, as published.
MASKED = -100.0


def relative(window: int) -> np.ndarray:
    """(tokens, tokens): the row of the table for each query and key of a window."""
    row, column = np.divmod(np.arange(window**2), window)
    rows = row[:, None] - row + window - 1
    columns = column[:, None] - column + window - 1
    return rows * (2 * window - 1) + columns


def mask(side: int, window: int) -> np.ndarray:
    """(windows, 1, tokens, tokens): MASKED between tokens that come from opposite borders, which
    a shift has joined in one window."""
    shift, n = window // 2, side // window
    strip = np.repeat([0, 1, 2], [side - window, window - shift, shift])
    region = 3 * strip.reshape(n, 1, window, 1) + strip.reshape(1, n, 1, window)
    region = region.reshape(n * n, 1, window**2)
    return np.where(region[..., None] == region[..., None, :], 0, MASKED).astype(np.float32)


def cut(x: jax.Array, window: int) -> jax.Array:
    """The windows (batch, windows, tokens, d) of a map (batch, side, side, d)."""
    return elastic.patches(x, window).reshape(x.shape[0], -1, window**2, x.shape[-1])


def joined(x: jax.Array, side: int, window: int) -> jax.Array:
    """The map (batch, side, side, d) of its windows (batch, windows, tokens, d)."""
    n = side // window
    x = x.reshape(x.shape[0], n, n, window, window, -1).swapaxes(2, 3)
    return x.reshape(x.shape[0], side, side, -1)
