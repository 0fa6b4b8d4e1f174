"""The space to train first against brute force: the nearest one that fits, and the refusals."""

import itertools

import numpy as np
import pytest
from search.problems import (
    Problem,
    random_problem,
    two_dimensions,
    vit_params,
    vit_problem,
    vit_size,
)

from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.search.budget import Budget
from s4jax.search.space import Dimension, SearchSpace
from s4jax.search.start import start


def brute_nearest(problem, radius):
    """The best of all gamma within a radius, up as well as down, or None.

    Fewest moves, then the smallest sum, then the largest size, then lexicographic.
    """
    n = len(problem.space.dimensions)
    gammas = np.array(list(itertools.product(range(-radius, radius + 1), repeat=n)))
    gammas = gammas[problem.legal(gammas)]
    costs = problem.arrays(gammas)[3][:, 0] if len(gammas) else ()
    rows = [
        (max(map(abs, g)), sum(map(abs, g)), -c, tuple(g)) for g, c in zip(gammas.tolist(), costs)
    ]
    return min(rows)[3] if rows else None


PAPER = SearchSpace(
    (
        Dimension('embed_dim', 336, 384, 24),
        Dimension('depth', 12, 14, 1),
        Dimension('num_heads', 2, 14, 2, per_block=True),
        Dimension('mlp_ratio', 3.5, 4.0, 0.5, per_block=True),
    ),
    ((1, 'depth'),),
)


@pytest.mark.parametrize(
    'n, radius, count', [(1, 6, 20), (2, 5, 25), (3, 4, 25), (4, 3, 20), (5, 2, 8)]
)
def test_project_is_the_nearest_space_that_fits(n, radius, count):
    rng, moved = np.random.default_rng(n), 0
    for i in range(count):
        problem = random_problem(
            rng,
            n,
            i % 3 if n > 1 else 0,
            limits=int(rng.integers(1, 3)),
            tightness=rng.choice([0.2, 0.6, 0.8, 1.0, 1.1]),
        )
        expected = brute_nearest(problem, radius)
        try:
            space, gamma = start(problem.space, problem.budget, problem.size, 'project')
        except UsageError:
            assert expected is None
            continue
        assert problem.budget.fits(problem.size(space), strict=True)
        assert space == problem.space.moved(gamma)
        if expected is not None:
            assert gamma == expected
            moved += any(gamma)
        else:
            assert max(map(abs, gamma)) > radius
    assert moved > count / 4


def test_project_settles_ties_by_size_and_then_lexicographically():
    space = SearchSpace(tuple(Dimension(f'd{k}', 4, 6, 1) for k in range(3)), ((1, None),))
    weights = (2, 3, 3)

    def size(s):
        return {'params': sum(w * d.upper for w, d in zip(weights, s.dimensions)), 'second': 1}

    budget = Budget((('params', 46.5), ('second', 2)))  # 48 now: one move of any, of 2 or of 3
    assert start(space, budget, size, 'project')[1] == (-1, 0, 0)  # 46 is larger than 45
    assert start(space, Budget((('params', 46.0),)), size, 'project')[1] == (0, -1, 0)
    staged = SearchSpace(
        tuple(Dimension(f'd{k}_{k}', 4, 6, 1) for k in (1, 2, 3)), ((1, None),) * 3
    )
    assert start(staged, budget, size, 'project')[1] == (-1, 0, 0)
    assert start(staged, Budget((('params', 46.0),)), size, 'project')[1] == (0, -1, 0)


@pytest.mark.parametrize('stages', [0, 1, 2, 3])
def test_project_settles_ties_across_stages_lexicographically(stages):
    """Every move saves the same: all directions of the wanted sum differ in their order alone."""
    names = [f'own {k}_{k % stages + 1}' if stages else f'shared {k}' for k in range(5)]
    space = SearchSpace(
        tuple(Dimension(name, 4, 6, 1) for name in names), ((1, None),) * max(stages, 1)
    )
    for limit in (30, 29, 27.5, 25, 24, 21, 20.5):
        problem = Problem(
            space, Budget((('params', limit),)), lambda uppers: uppers.sum(1, keepdims=True)
        )
        assert start(space, problem.budget, problem.size, 'project')[1] == brute_nearest(problem, 2)


def test_the_papers_own_space_is_over_its_budget_and_is_projected():
    def paper_size(space):
        return {'params': vit.params(vit.architecture(space.largest(), image_size=224, classes=10))}

    problem = Problem(
        PAPER, Budget((('params', 30e6),)), lambda uppers: vit_params(uppers, 1, classes=10)
    )
    size = paper_size(PAPER)['params']
    assert size == problem.size(PAPER)['params'] == pytest.approx(36.4e6, abs=0.05e6)
    space, gamma = start(PAPER, problem.budget, paper_size, 'project')
    assert gamma == brute_nearest(problem, 3) and gamma[2] == 0  # heads stand on their floor
    assert paper_size(space)['params'] < 30e6
    assert start(space, problem.budget, paper_size, 'error') == (space, (0,) * 4)  # now it fits
    with pytest.raises(
        UsageError, match=r'params 36,[0-9,]+ over 30,000,000; .*explore\.infeasible_start'
    ):
        start(PAPER, problem.budget, paper_size, 'error')


def test_project_in_16_dimensions():
    problem = vit_problem(5, 0.75)
    down = np.array(list(itertools.product((-1, 0), repeat=16)))
    legal = down[problem.legal(down)]  # costs rise with every dimension: none goes up
    costs = problem.arrays(legal)[3][:, 0]
    expected = min((-sum(g), -c, tuple(g)) for g, c in zip(legal.tolist(), costs))[2]
    assert start(problem.space, problem.budget, vit_size, 'project')[1] == expected
    for tightness in (0.6, 0.5, 0.4, 0.3):  # up to 7 moves: more than can be listed
        limits = Budget((('params', tightness * vit_size(problem.space)['params']),))
        calls = []

        def size(s, calls=calls):
            calls.append(s)
            return vit_size(s)

        space, gamma = start(problem.space, limits, size, 'project')
        assert limits.fits(vit_size(space), strict=True) and len(calls) < 1500
        for k in range(16):  # no move back alone fits
            back = tuple(g + (i == k and g < 0) for i, g in enumerate(gamma))
            size_back = vit_size(problem.space.moved(back))
            assert back == gamma or not limits.fits(size_back, strict=True)


def test_move_keeps_the_space_where_a_first_move_exists():
    space, _, size = two_dimensions()
    near, far, fits = (Budget((('params', 384 * 4.5 * f),)) for f in (0.9, 0.5, 1.1))
    assert start(space, near, size, 'move') == (space, (0, 0))
    with pytest.raises(UsageError, match="infeasible_start='move': no neighbour .* use 'project'"):
        start(space, far, size, 'move')
    for policy in ('project', 'move', 'error'):
        assert start(space, fits, size, policy) == (space, (0, 0))
    exact = Budget((('params', 384 * 4.5),))  # Eq. 4 is strict
    assert start(space, exact, size, 'project')[1] == (-1, 0)  # 360 · 4.5 is larger than 384 · 4


@pytest.mark.parametrize('policy', ['project', 'move'])
def test_a_budget_below_all_spaces_is_refused_with_the_smallest_size(policy):
    space, _, size = two_dimensions()
    floor = (24 + 48) * (0.5 + 1)  # the floors, with the widths kept
    with pytest.raises(
        UsageError,
        match=rf'smallest has a largest model of params {floor:.0f} \(budget 108\); raise',
    ):
        start(space, Budget((('params', 108.0),)), size, policy)
    assert start(space, Budget((('params', 108.5),)), size, 'project')[1] == (-13, -6)
