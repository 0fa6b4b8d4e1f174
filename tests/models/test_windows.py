"""Windows of a map: cut and joined again, relative positions, the mask of a shift."""

import jax.numpy as jnp
import numpy as np

from s4jax.models import windows


def test_a_map_is_cut_and_joined():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    cut = np.asarray(windows.cut(jnp.asarray(x), 2))
    assert cut.shape == (2, 9, 4, 3)
    np.testing.assert_array_equal(cut[:, 5], x[:, 2:4, 4:6].reshape(2, 4, 3))  # row 1, column 2
    np.testing.assert_array_equal(windows.joined(jnp.asarray(cut), 6, 2), x)


def test_relative_positions_count_rows_then_columns():
    table = windows.relative(3)
    for query in range(9):
        for key in range(9):
            rows, columns = query // 3 - key // 3 + 2, query % 3 - key % 3 + 2
            assert table[query, key] == 5 * rows + columns


def test_the_mask_parts_tokens_that_were_no_neighbours():
    """By the true place of each token of a rolled map: neighbours lie less than a window apart."""
    side, window, shift = 8, 4, 2
    place = np.roll(np.arange(side**2).reshape(1, side, side, 1), (-shift, -shift), (1, 2))
    places = np.asarray(windows.cut(jnp.asarray(place), window))[0, :, :, 0]
    rows, columns = np.divmod(places, side)
    near = np.abs(rows[:, :, None] - rows[:, None]) < window
    near &= np.abs(columns[:, :, None] - columns[:, None]) < window
    expected = np.where(near, 0, windows.MASKED)[:, None]
    np.testing.assert_array_equal(windows.mask(side, window), expected)
