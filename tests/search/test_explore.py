"""S4's explorer: slopes of known scores, and steps that stay within the budget."""

import dataclasses
import itertools
import json
import math
import statistics

import numpy as np
import pytest
from search.problems import all_gammas, brute_best, frozen, random_problem, two_dimensions

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.search import explore
from s4jax.search.explore import ExploreSettings, Step, Visited, slope_pairs, slopes
from s4jax.search.space import Dimension, SearchSpace

DIGITS = SearchSpace(
    (
        Dimension('embed_dim', 16, 32, 8),
        Dimension('depth', 2, 4, 1),
        Dimension('num_heads', 2, 4, 1, per_block=True),
        Dimension('mlp_ratio', 2, 4, 0.5, per_block=True),
        Dimension('patch', 2, 2, 1),
    ),
    ((1, 'depth'),),
)


WEIGHTS = {'embed_dim': 1e-3, 'depth': -0.02, 'num_heads': 0.03, 'mlp_ratio': 0.0071, 'patch': 5.0}


def linear(arch):
    """Linear in every dimension; of a per-block one in its first block, which every depth has."""
    return 0.3 + sum(
        WEIGHTS[name] * (value[0] if isinstance(value, tuple) else value) for name, value in arch
    )


def test_slopes_of_a_linear_score_are_its_coefficients():
    calls = []

    def score(archs):
        calls.append(len(archs))
        return np.array([linear(arch) for arch in archs])

    found = slopes(DIGITS, score, frozen, np.random.default_rng(0), pairs=25)
    assert calls == [25 * 2 * 4]  # all pairs in one call; a dimension of one choice has none
    assert found.names == DIGITS.names and found.pairs == 25
    np.testing.assert_allclose(found.mean, [1e-3, -0.02, 0.03, 0.0071, 0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.error, 0, atol=1e-14)


def test_slopes_of_a_noisy_score_by_hand():
    noise, seen = np.random.default_rng(1), []

    def score(archs):
        seen.extend((dict(arch), linear(arch) + 0.01 * noise.normal()) for arch in archs)
        return [value for _, value in seen]

    found = slopes(DIGITS, score, frozen, np.random.default_rng(2), pairs=40)
    for k, d in enumerate(DIGITS.dimensions[:4]):
        ratios = []
        for i in range(80 * k, 80 * (k + 1), 2):  # 40 pairs, one member after the other
            low, high = ((c[d.name][0] if d.per_block else c[d.name]) for c, _ in seen[i : i + 2])
            ratios.append((seen[i + 1][1] - seen[i][1]) / (high - low))
        assert found.mean[k] == pytest.approx(statistics.fmean(ratios), rel=1e-10)
        assert found.error[k] == pytest.approx(statistics.stdev(ratios) / math.sqrt(40), rel=1e-10)
        assert abs(found.mean[k] - WEIGHTS[d.name]) < 5 * found.error[k]
    assert (found.mean[4], found.error[4]) == (0, 0)
    lone = slopes(
        DIGITS, lambda archs: np.arange(len(archs)), frozen, np.random.default_rng(0), pairs=1
    )
    assert lone.error == (0,) * 5  # of one pair nothing is known


def test_pairs_are_added_until_the_sign_is_certain():
    """A steep dimension needs no more pairs; a flat, noisy one gets them up to the limit."""
    noise = np.random.default_rng(5)
    asked = []

    def score(archs):
        asked.append(len(archs))
        width = np.array([dict(arch)['embed_dim'] for arch in archs])
        return 0.01 * width + noise.normal(0, 0.001, len(archs))

    space = SearchSpace(
        (Dimension('embed_dim', 16, 32, 8), Dimension('depth', 1, 3, 1)), ((1, 'depth'),)
    )
    found = slopes(space, score, frozen, np.random.default_rng(0), 10, 45)
    # both have 10 pairs; then depth alone, whose sign was a coin's: at most 30 more
    assert asked[0] == 40 and set(asked[1:]) <= {20} and len(asked) <= 4
    assert found.pairs == 10 * len(asked)
    assert found.mean[0] == pytest.approx(0.01, rel=0.1) and found.error[0] < 0.001
    flat = slopes(space, lambda a: np.zeros(len(a)), frozen, np.random.default_rng(0), 10, 45)
    assert flat.pairs == 40 and flat.mean == (0, 0)  # what is flat stays uncertain
    same = [slopes(space, score, frozen, np.random.default_rng(0), 10, most) for most in (None, 19)]
    assert [each.pairs for each in same] == [10, 10]


def test_pairs_differ_in_one_dimension_alone():
    swin = SearchSpace(
        (
            Dimension('embed_dim', 72, 96, 12),
            Dimension('depth', 2, 6, 2),
            Dimension('mlp_ratio_1', 3, 4, 0.5, per_block=True),
            *(Dimension(f'mlp_ratio_{s}', 5, 8, 1, per_block=True) for s in (2, 3, 4)),
        ),
        ((2, None), (2, None), (1, 'depth'), (2, None)),
    )
    for space in (DIGITS, swin):
        sampled = slope_pairs(space, np.random.default_rng(0), 60, space.names)
        assert list(sampled) == list(space.names)
        for d in space.dimensions:
            assert len(sampled[d.name]) == (60 if len(d.values) > 1 else 0)
            seen = set()
            for one, two in sampled[d.name]:
                assert space.contains(one) and space.contains(two)
                if d.per_block:
                    assert len(set(one[d.name])) == len(set(two[d.name])) == 1
                    assert len(one[d.name]) == len(two[d.name])
                low, high = ((c[d.name][0] if d.per_block else c[d.name]) for c in (one, two))
                assert low < high
                seen.add((low, high))
                for other in space.dimensions:
                    if other.name != d.name:
                        a, b = one[other.name], two[other.name]
                        # a depth cuts blocks: those that both have are the same
                        if other.per_block and d.name == 'depth' and other.stage in (None, 2):
                            a, b = zip(*zip(a, b))
                        assert a == b, (d.name, other.name)
            assert seen == set(itertools.combinations(d.values, 2))
        bases = {frozen(one) for pairs in sampled.values() for one, _ in pairs}
        assert len(bases) > 60  # not one base for all


def landscape(rng, names):
    """A smooth random accuracy over mean values, scaled by where the space is."""
    weights, bends = rng.normal(size=len(names)), rng.uniform(0, 0.05, len(names))

    def score(archs):
        values = np.array([[np.mean(value) for value in dict(arch).values()] for arch in archs])
        return (values * weights - bends * values**2).sum(1) / 100

    return score


@pytest.mark.parametrize('seed', range(8))
def test_step_never_leaves_the_budget(seed):
    rng = np.random.default_rng(seed)
    n = [3, 4, 5, 9][seed % 4]
    problem = random_problem(
        rng, n, 3 if n == 9 else 0, limits=2, tightness=1.0 + rng.uniform(0, 2, 2)
    )
    space, visited, gammas = problem.space, 0, all_gammas(n)
    score = landscape(rng, space.names)
    for _ in range(12):
        before = dataclasses.replace(problem, space=space)
        step = explore.step(
            space, problem.budget, problem.size, score, frozen, rng, ExploreSettings(pairs=3)
        )
        expected = brute_best(before, step.z, gammas)
        if step.stopped:
            assert step.space is None and step.gamma is None
            assert expected is None or expected[1] < 0 or not any(step.z)
            break
        assert step.gamma == expected[0]
        assert step.cosine == pytest.approx(expected[1]) and step.cosine >= 0
        assert all(abs(g) <= 1 for g in step.gamma) and step.space == space.moved(step.gamma)
        assert all(problem.size(step.space)[name] < limit for name, limit in problem.budget.limits)
        space, visited = step.space, visited + 1
    assert visited or step.stopped


def one_step(weights, limit=1e9, units='tau', forced=False):
    space, budget, size = two_dimensions(limit)

    def score(archs):
        return np.array([np.dot(weights, [value for _, value in arch]) for arch in archs])

    rng, settings = np.random.default_rng(0), ExploreSettings(pairs=5, units=units)
    return explore.step(space, budget, size, score, frozen, rng, settings, forced)


def test_z_is_measured_in_moves_or_as_printed():
    """0.001 a channel is 0.024 a move, 0.01 a ratio is 0.005 a move.

    In moves the width leads, as printed the ratio.
    """
    tau, raw = one_step((1e-3, 1e-2)), one_step((1e-3, 1e-2), units='raw')
    np.testing.assert_allclose(tau.z, (0.024, 0.005))
    np.testing.assert_allclose(raw.z, (1e-3, 1e-2))
    assert (tau.gamma, raw.gamma) == ((1, 0), (0, 1)) and (tau.units, raw.units) == ('tau', 'raw')
    assert tau.cosine == pytest.approx(0.024 / math.hypot(0.024, 0.005))
    assert one_step((1e-3, 4e-2)).gamma == (1, 1)  # 0.024 and 0.020: both


def test_why_a_step_stops():
    size = 384 * 4.5
    zero = one_step((0, 0))
    assert zero.stopped == 'the accuracy gradient is zero'
    assert zero.gamma is None and zero.cosine == 0
    unaffordable = one_step((1, 1), limit=360 * 4)
    assert unaffordable.stopped == 'no neighbouring space fits the budget'
    assert unaffordable.cosine is None
    assert len(unaffordable.candidates) == 8 and all(c.rejected for c in unaffordable.candidates)
    level = one_step((1, 0), limit=384 * 4.2)  # (0, -1) costs 384 · 4, (1, -1) 408 · 4
    assert level.gamma == (0, -1) and level.cosine == 0  # only a negative cosine stops
    downhill = one_step((1, 1), limit=size * 0.9)  # (-1, 0) and (-1, 1) cost more than 0.9
    assert downhill.stopped.startswith('no legal neighbour ascends (best cosine -0.')
    assert downhill.cosine < 0 and downhill.space is None and downhill.gamma is None
    for step in (zero, unaffordable, level, downhill):
        assert Step.from_json(json.loads(json.dumps(step.to_json()))) == step


def test_a_forced_step_descends():
    free = one_step((1, 1), limit=384 * 4.5 * 0.9)
    forced = one_step((1, 1), limit=384 * 4.5 * 0.9, forced=True)
    assert forced.stopped is None and forced.cosine == free.cosine < 0
    legal = [c for c in forced.candidates if c.rejected is None]
    assert forced.gamma == max(legal, key=lambda c: c.cosine).gamma
    level = one_step((0, 0), limit=1500, forced=True)
    assert level.gamma == (-1, -1)  # no gradient: the lexicographically first
    nowhere = one_step((1, 1), limit=360 * 4, forced=True)
    assert nowhere.stopped == 'no neighbouring space fits the budget'
    assert Step.from_json(json.loads(json.dumps(forced.to_json()))) == forced


def test_visited_spaces_come_back_from_their_json():
    step = one_step((1e-3, 1e-2))
    first = Visited(two_dimensions()[0], {'params': 1728.0}, (0, 0))
    moved = Visited(step.space, {'params': 1836.0}, step.gamma, step.cosine, step.slopes, 'enough')
    for visited in (first, moved):
        assert Visited.from_json(json.loads(json.dumps(visited.to_json()))) == visited


@pytest.mark.parametrize(
    'name, value',
    [
        *itertools.product(('iterations',), (-1, 101, 1.5, math.nan, math.inf, True, None, 'x')),
        *itertools.product(('pairs',), (0, -1, 1e9, 1.5, math.nan, math.inf, True, None, [1])),
        *itertools.product(('units', 'infeasible_start'), ('', 'TAU', 1, None, True, ['tau'])),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=rf'^config\.explore\.{name}=.* must be [^\n]*$'):
        settings.read(ExploreSettings, {name: value}, 'config.explore')
    assert settings.read(ExploreSettings, {'pairs': '2k'}, '') == ExploreSettings(pairs=2000)
