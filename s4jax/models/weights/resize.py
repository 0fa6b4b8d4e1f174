"""Positions for another image size, resized as the published implementations do."""

import numpy as np

SHARPNESS = -0.75  # of PyTorch's bicubic kernel (Keys, 1981, has -0.5)


def bicubic(table: np.ndarray, side: int) -> np.ndarray:
    """A table (n, n, channels) as (side, side, channels), as PyTorch's `interpolate` computes it.

    That is mode='bicubic', align_corners=False, without antialiasing; entries beyond an edge are
    those at the edge.
    """
    matrix = _matrix(len(table), side)
    return np.einsum('an,bm,nmc->abc', matrix, matrix, table.astype(np.float64)).astype(np.float32)


def _matrix(source: int, target: int) -> np.ndarray:
    """The weights (target, source) with which entries of a line become those of another."""
    places = (np.arange(target) + 0.5) * source / target - 0.5
    matrix = np.zeros((target, source))
    for tap in range(-1, 3):
        columns = np.floor(places).astype(int) + tap
        weights = _kernel(np.abs(places - columns))
        np.add.at(matrix, (np.arange(target), columns.clip(0, source - 1)), weights)
    return matrix


def _kernel(x: np.ndarray) -> np.ndarray:
    """The cubic kernel at distances x >= 0."""
    a = SHARPNESS
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
