"""Rows of all directions from the rows of a few, against every direction by itself."""

import itertools

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.search.additive import limits, stage_tables, sums
from s4jax.search.budget import Budget
from s4jax.search.space import Dimension, SearchSpace

SPACE = SearchSpace(
    (
        Dimension('embed_dim', 8, 16, 8),
        Dimension('depth_1', 1, 2, 1),
        Dimension('mlp_ratio_1', 1, 2, 1, per_block=True),
        Dimension('depth_2', 1, 2, 1),
        Dimension('mlp_ratio_2', 1, 2, 1, per_block=True),
    ),
    ((1, 'depth_1'), (1, 'depth_2')),
)
OPTIONS = [(-1, 0, 1), (0, 1), (-1, 0, 1), (-1, 0), (0, 1)]
BASE = (0,) * 5


def additive(gamma):
    """Each stage adds a product of its own dimensions and the shared one."""
    e, d1, m1, d2, m2 = (g + 2 for g in gamma)
    return np.array([sum(gamma), e * d1 * m1**2 + e**2 * d2 * m2, d1 + d2], float)


def test_sums_of_one_column_of_each_table_are_the_rows_of_all_directions():
    found = [
        column
        for tables in stage_tables(SPACE, OPTIONS, BASE, additive)
        for column in sums(sums(tables[0], tables[1]), tables[2]).T
    ]
    expected = [additive(gamma) for gamma in itertools.product(*OPTIONS)]
    assert len(found) == len(expected) == 3 * 2 * 3 * 2 * 2
    np.testing.assert_allclose(sorted(map(tuple, found)), sorted(map(tuple, expected)))


def test_a_cost_that_is_no_sum_over_the_stages_is_refused():
    def product(gamma):
        return np.array([np.prod([g + 2.0 for g in gamma])])

    with pytest.raises(UsageError, match='is not a sum over the stages of the space'):
        list(stage_tables(SPACE, OPTIONS, BASE, product))


def test_sums_pair_every_column_with_every_column():
    one, other = np.array([[1.0, 2], [10, 20]]), np.array([[3.0, 4, 5], [30, 40, 50]])
    assert sums(one, other).tolist() == [[4, 5, 6, 5, 6, 7], [40, 50, 60, 50, 60, 70]]


def test_limits_part_whole_numbers():
    (limit,) = limits(Budget((('params', 1e13),))).ravel()
    assert not 10**13 < limit and 10**13 - 1 < limit
