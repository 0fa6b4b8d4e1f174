"""Neighbours against brute force: Eq. 4 and 6 over all 3^n - 1 directions."""

import dataclasses
import math

import numpy as np
import pytest
from search.problems import (
    all_gammas,
    brute_best,
    random_problem,
    random_z,
    vit_problem,
    vit_size,
)

from s4jax.errors import UsageError
from s4jax.search.budget import Budget
from s4jax.search.neighbours import best, candidates, search
from s4jax.search.space import Dimension, SearchSpace


def check(found, expected):
    chosen = best(found)
    assert (chosen is None) == (expected is None)
    if expected:
        assert chosen.gamma == expected[0] and chosen.rejected is None
        assert chosen.cosine == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize('seed', range(15))
def test_candidates_are_all_neighbours_with_the_reason_of_each_rejection(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, int(rng.integers(2, 5)), 0, limits=2, monotone=False)
    space, z = problem.space, random_z(rng, len(problem.space.dimensions))
    gammas = all_gammas(len(z))
    found = candidates(space, problem.budget, problem.size, z)
    assert [c.gamma for c in found] == list(map(tuple, gammas))
    for c, stays, below, above, costs, legal in zip(
        found, *problem.arrays(gammas), problem.legal(gammas)
    ):
        assert (c.rejected is None) == legal
        obstacles = [
            f'{d.name} has one choice and stays'
            if one
            else f'{d.name} would fall below its floor {d.floor}'
            if low
            else f'{d.name} would rise above its ceiling {d.ceiling}'
            for d, one, low, high in zip(space.dimensions, stays, below, above)
            if one | low | high
        ]
        excess = [
            f'{name} {value:,.15g} {"over" if value > limit else "not below"} {limit:,.15g}'
            for (name, limit), value in zip(problem.budget.limits, costs)
            if value >= limit
        ]
        assert c.rejected == next(iter(obstacles + excess), None)
        if obstacles:
            assert c.costs is None
        else:
            assert [c.costs[name] for name, _ in problem.budget.limits] == list(costs)
        scale = math.sqrt(np.count_nonzero(c.gamma)) * math.hypot(*z)
        assert c.cosine == pytest.approx(np.dot(c.gamma, z) / scale if scale else 0, abs=1e-12)


@pytest.mark.parametrize('n', range(2, 8))
def test_best_and_search_are_brute_force(n):
    """Costs are arbitrary where all dimensions are of no stage.

    Where some are of one stage, they are sums over the stages, rising or not.
    """
    rng, chosen, gammas = np.random.default_rng(n), 0, all_gammas(n)
    for i in range({5: 20, 6: 16, 7: 8}.get(n, 30)):
        stages = 0 if i % 4 == 0 and n < 6 else int(rng.integers(1, 4))
        problem = random_problem(
            rng, n, stages, limits=int(rng.integers(1, 3)), monotone=rng.random() < 0.5
        )
        z = random_z(rng, n)
        expected = brute_best(problem, z, gammas)
        check(search(problem.space, problem.budget, problem.size, z), expected)
        if n < 5:
            check(candidates(problem.space, problem.budget, problem.size, z), expected)
        chosen += expected is not None
    assert chosen > i / 2


@pytest.mark.parametrize('n', [8, 9, 10])
def test_search_is_brute_force_in_many_dimensions(n):
    rng, gammas = np.random.default_rng(n), all_gammas(n)
    for _ in range(6 if n < 10 else 4):
        problem = random_problem(
            rng, n, int(rng.integers(2, 5)), limits=2, tightness=rng.choice([0.9, 1.001, 1.1])
        )
        z = random_z(rng, n)
        check(
            search(problem.space, problem.budget, problem.size, z), brute_best(problem, z, gammas)
        )


@pytest.mark.parametrize('stages', [2, 3, 4])
def test_search_settles_ties_across_stages_lexicographically(stages):
    """A stage's dimensions lie apart: no order of the stages is the order of the directions."""
    rng, gammas = np.random.default_rng(stages), all_gammas(8)
    for i in range(8):
        problem = random_problem(rng, 8, stages, tightness=rng.choice([0.95, 1.02, 1.1]))
        z = tuple(rng.integers(1, 5, size=8) / (10 if i % 2 else 3))
        check(
            search(problem.space, problem.budget, problem.size, z), brute_best(problem, z, gammas)
        )


@pytest.mark.parametrize('find', [search, candidates])
def test_rounding_breaks_no_tie(find):
    """0.34 + 0.56 > 0.41 + 0.49 by one bit: still equal cosines, settled lexicographically."""
    z = (0.34, 0.56, 0.41, 0.49)
    assert z[0] + z[1] > z[2] + z[3]
    space = SearchSpace(
        tuple(Dimension(f'own {k}_{k // 2 + 1}', 2, 4, 1) for k in range(4)), ((1, None),) * 2
    )
    found = find(
        space,
        Budget((('params', 4 * 180 + 90.5),)),
        lambda s: {'params': sum(100 * w * d.upper for w, d in zip(z, s.dimensions))},
        z,
    )
    assert best(found).gamma == (0, 0, 1, 1)


def test_search_gives_the_best_neighbour_regardless_of_the_budget_first():
    rng = np.random.default_rng(0)
    for _ in range(20):
        problem = random_problem(rng, 5, 2, tightness=rng.choice([1.0, 1.2]))
        z = random_z(rng, 5)
        found = search(problem.space, problem.budget, problem.size, z)
        unlimited = dataclasses.replace(problem, budget=Budget((('cost 0', np.inf),)))
        free = brute_best(unlimited, z, all_gammas(5))
        assert found[0].gamma == free[0] and 1 <= len(found) <= 2
        assert [c.rejected is None for c in found] in ([True], [False], [False, True])
        assert all(c.costs == problem.size(problem.space.moved(c.gamma)) for c in found)


def test_search_without_a_limit_and_where_nothing_can_move():
    space = SearchSpace(
        tuple(Dimension(f'own {k}_{k}', 1, 2, 1) for k in range(1, 10)), ((1, None),) * 9
    )
    z = (1.0,) * 8 + (-0.01,)
    (only,) = search(space, Budget(()), lambda s: {}, z)
    assert only.gamma == (1,) * 8 + (0,)
    fixed = SearchSpace(
        (Dimension('embed_dim', 4, 4, 1), Dimension('depth_1', 2, 2, 1)), ((1, 'depth_1'),)
    )
    assert search(fixed, Budget(()), lambda s: {}, (1.0, 1.0)) == ()


def test_search_refuses_costs_that_are_no_sum_over_the_stages():
    space = SearchSpace(
        tuple(Dimension(f'own {k}_{k % 3 + 1}', 1, 3, 1) for k in range(9)), ((1, None),) * 3
    )
    budget = Budget((('memory', 100.0),))
    for memory in (max, lambda uppers: math.prod(uppers[:4])):

        def size(s, memory=memory):
            return {'memory': memory([d.upper for d in s.dimensions])}

        with pytest.raises(UsageError, match='not a sum over the stages'):
            search(space, budget, size, (1.0,) * 9)


@pytest.mark.parametrize('segments, tightness', [(1, 1.001), (2, 1.001), (3, 0.97)])
def test_vit_of_segments_is_brute_force(segments, tightness):
    problem, gammas = vit_problem(segments, tightness), all_gammas(1 + 3 * segments)
    for seed in range(4):
        z = random_z(np.random.default_rng(seed), 1 + 3 * segments)
        check(search(problem.space, problem.budget, vit_size, z), brute_best(problem, z, gammas))


def test_vit_of_four_segments_equals_all_of_1_594_322_neighbours():
    problem = vit_problem(4, 1.001)
    axes = np.meshgrid(*[np.array([-1.0, 0, 1])] * 13, indexing='ij')
    gammas = np.stack(axes, -1).reshape(-1, 13)
    lengths = np.sqrt((gammas**2).sum(1))
    z, calls = 1 + 1e-3 * np.random.default_rng(0).normal(size=13), []
    found = search(problem.space, problem.budget, lambda s: calls.append(s) or vit_size(s), z)
    cosines = np.where(lengths, gammas @ z / np.maximum(lengths, 1) / np.linalg.norm(z), -np.inf)
    better = gammas[cosines >= best(found).cosine - 1e-12]  # all that could be chosen instead
    assert len(better) > 1000 and len(calls) < 400
    check(found, brute_best(problem, z, better))
