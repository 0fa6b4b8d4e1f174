"""Rows as sums over the stages, against the rows of all directions."""

import functools
import itertools

import numpy as np
import pytest
from search.problems import random_problem

from s4jax.errors import UsageError
from s4jax.search import additive
from s4jax.search.budget import Budget
from s4jax.search.space import Dimension, SearchSpace


@pytest.mark.parametrize('stages', [0, 1, 2, 3])
def test_the_sums_of_all_tables_are_the_rows_of_all_directions(stages):
    rng, n = np.random.default_rng(stages), 5
    problem = random_problem(rng, n, stages, limits=2, monotone=False)
    options = [[-1, 0, 1][: int(rng.integers(1, 4))] for _ in range(n)]
    options[2], base = [-2, 0, 1], (-1, -1, 0, -1, -1)

    def row(gamma):
        (costs,) = problem.cost(np.array([gamma], float) + 4)
        return np.array([*gamma, *costs])

    tables = additive.stage_tables(problem.space, options, base, row)
    found = np.concatenate([functools.reduce(additive.sums, given) for given in tables], 1).T
    expected = [row(gamma) for gamma in itertools.product(*options)]
    np.testing.assert_allclose(sorted(found.tolist()), sorted(map(list, expected)), rtol=1e-9)


def test_rows_that_are_no_sums_are_refused():
    dimensions = tuple(Dimension(f'own {k}_{k}', 2, 4, 1) for k in (1, 2))
    space = SearchSpace(dimensions, ((1, None),) * 2)
    with pytest.raises(UsageError, match='not a sum over the stages of the space'):
        list(additive.stage_tables(space, [[0, 1]] * 2, (0, 0), lambda g: np.array([np.prod(g)])))


def test_sums_of_columns():
    one, other = np.array([[1, 2], [3, 4]]), np.array([[10, 20, 30], [50, 60, 70]])
    assert additive.sums(one, other).tolist() == [
        [11, 21, 31, 12, 22, 32],
        [53, 63, 73, 54, 64, 74],
    ]


def test_limits_leave_room_for_rounding_and_part_whole_numbers():
    (limit,) = additive.limits(Budget((('params', 1e13),)))[:, 0]
    assert 1e13 - 1 < limit < 1e13
