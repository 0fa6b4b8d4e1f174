"""S4's explorer against brute force: Eq. 4 and 6 over all neighbours, the nearest space that fits, known slopes."""

import dataclasses
import itertools
import json
import math
import statistics
from typing import Any

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.search import explore
from s4jax.search.budget import Budget
from s4jax.search.explore import ExploreSettings, slope_pairs, slopes
from s4jax.search.neighbours import best, candidates, search
from s4jax.search.space import Dimension, SearchSpace
from s4jax.search.start import start


@dataclasses.dataclass(frozen=True)
class Problem:
    """A space, a budget, and `cost`: upper bounds (spaces × dimensions) -> (spaces × limits), plain arithmetic."""

    space: SearchSpace
    budget: Budget
    cost: Any

    def size(self, space):
        (costs,) = self.cost(np.array([[d.upper for d in space.dimensions]], float))
        return {name: float(value) for (name, _), value in zip(self.budget.limits, costs)} | {
            'unlimited': 1.0
        }

    def arrays(self, gammas):
        """Upper bounds, which moves exist, and the costs of all `gammas`, without the code under test."""
        dimensions, gammas = self.space.dimensions, np.asarray(gammas, float)
        lower, upper, tau, floor = (
            np.array([getattr(d, n) for d in dimensions], float)
            for n in ('lower', 'upper', 'tau', 'floor')
        )
        ceiling = np.array([np.inf if d.ceiling is None else d.ceiling for d in dimensions])
        stays = (gammas != 0) & (lower == upper)
        below, above = lower + gammas * tau < floor - 1e-9, upper + gammas * tau > ceiling + 1e-9
        return stays, below, above, self.cost(upper + gammas * tau)

    def legal(self, gammas):
        stays, below, above, costs = self.arrays(gammas)
        return ~np.any(stays | below | above, 1) & np.all(
            costs < [limit for _, limit in self.budget.limits], 1
        )


def stages_cost(rng, dimensions, stages, shared, limits, monotone):
    """A random cost that is a sum over stages while the first `shared` dimensions are held."""
    weights = rng.uniform(0.5, 2, (limits, dimensions))
    powers = rng.integers(1, 4, dimensions)

    def cost(upper):
        columns = []
        for w in weights:
            terms = w * upper**powers
            own = [
                np.prod(
                    1
                    + terms[:, [k for k in range(shared, dimensions) if (k - shared) % stages == s]]
                    / 9,
                    1,
                )
                for s in range(stages)
            ]
            whole = np.prod(1 + terms[:, :shared] / 9, 1)
            if not monotone:
                own = [x * (1.5 + np.sin(40 * x)) for x in own]
                whole = whole * (1.5 + np.sin(40 * whole))
            columns.append(whole * np.sum(own, 0) if stages else whole)
        return np.stack(columns, 1)

    return cost


def random_problem(rng, n, stages, limits=1, monotone=True, tightness=None):
    """n dimensions, those beyond the first 1–2 (all without stages) of single stages."""
    shared = min(n - 1, int(rng.integers(1, 3))) if stages else n
    dimensions = []
    for k in range(n):
        name = f'shared {k}' if k < shared else f'own {k}_{(k - shared) % stages + 1}'
        low, count = int(rng.integers(1, 5)), int(rng.choice([0, 1, 2, 3], p=[0.1, 0.3, 0.3, 0.3]))
        step = float(rng.choice([1, 0.5]))
        ceiling = (low + count + rng.integers(0, 2)) * step if rng.random() < 0.2 else None
        dimensions.append(Dimension(name, low * step, (low + count) * step, step, ceiling=ceiling))
    space = SearchSpace(tuple(dimensions), ((1, None),) * max(stages, 1))
    cost = stages_cost(rng, n, stages, shared, limits, monotone)
    (now,) = cost(np.array([[d.upper for d in dimensions]], float))
    tightness = (
        rng.choice([0.6, 0.9, 1.0, 1.01, 1.2, 3.0], size=limits) if tightness is None else tightness
    )
    budget = tuple((f'cost {i}', float(limit)) for i, limit in enumerate(now * tightness))
    return Problem(space, Budget(budget), cost)


def random_z(rng, n):
    kind = rng.integers(9)
    z = rng.normal(size=n)
    if kind == 0:
        z = np.abs(z)
    elif kind == 1:
        z = -np.abs(z)
    elif kind == 2:
        z = np.ones(n) * rng.choice([-1, 1])  # ties everywhere
    elif kind == 3:
        z = 1 + 1e-3 * z
    elif kind == 4:
        z[rng.integers(n)] *= 30
    elif kind == 5:
        z = rng.integers(-2, 3, size=n).astype(float)  # ties and zero components
    elif kind == 8:
        z = rng.integers(-7, 8, size=n) / 10  # ties but for rounding: 0.1 + 0.7 < 0.3 + 0.5
    elif kind == 6:
        z = z * (rng.random(n) < 0.5)
    return tuple(map(float, z)) if rng.random() > 0.03 else (0.0,) * n


def all_gammas(n):
    return np.array([g for g in itertools.product((-1, 0, 1), repeat=n) if any(g)])


def brute_best(problem, z, gammas):
    """(gamma, cosine) of Eq. 6, or None: equal cosines by lexicographic gamma."""
    legal = gammas[problem.legal(gammas)]
    if not len(legal):
        return None
    lengths = np.sqrt((legal**2).sum(1)) * math.hypot(*z)
    cosines = legal @ z / np.where(lengths, lengths, 1)
    tied = legal[cosines >= cosines.max() - 1e-12]
    return min(map(tuple, tied.tolist())), cosines.max()


def check(found, expected):
    chosen = best(found)
    assert (chosen is None) == (expected is None)
    if expected:
        assert chosen.gamma == expected[0] and chosen.cosine == pytest.approx(
            expected[1], abs=1e-12
        )
        assert chosen.rejected is None


# --- candidates, best, search ---


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
    """Any costs while all dimensions are of no stage; sums over stages, rising or not, where some are of one stage."""
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
    """The dimensions of a stage lie apart, so that no order of the stages is that of the directions."""
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


def test_search_tells_the_direction_of_no_budget_first():
    rng = np.random.default_rng(0)
    for _ in range(20):
        problem = random_problem(rng, 5, 2, tightness=rng.choice([1.0, 1.2]))
        z = random_z(rng, 5)
        found = search(problem.space, problem.budget, problem.size, z)
        free = brute_best(
            dataclasses.replace(problem, budget=Budget((('cost 0', np.inf),))), z, all_gammas(5)
        )
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
    for size in (lambda uppers: max(uppers), lambda uppers: math.prod(uppers[:4])):
        with pytest.raises(UsageError, match='not a sum over the stages'):
            search(
                space,
                budget,
                lambda s: {'memory': size([d.upper for d in s.dimensions])},
                (1.0,) * 9,
            )


def vit_space(segments):
    dimensions = [Dimension('embed_dim', 336, 384, 24, floor=24)]
    for name, low, high, step in (
        ('depth', 2, 3, 1),
        ('num_heads', 2, 8, 2),
        ('mlp_ratio', 3.5, 4.0, 0.5),
    ):
        dimensions += [
            Dimension(f'{name}_{s}', low + shift, high + shift, step, per_block=name != 'depth')
            for s, shift in zip(range(1, segments + 1), itertools.cycle((step, 0)))
        ]
    return SearchSpace(tuple(dimensions), vit.stages(tuple(d.name for d in dimensions)))


def vit_params(uppers, segments, classes=100):
    """The closed form of DESIGN.md, section 5, at 224/16."""
    d = uppers[:, 0]
    total = 967 * d + 2 * d + classes * (d + 1)
    for depth, heads, ratio in (uppers[:, 1 + s :: segments].T for s in range(segments)):
        hidden = np.floor(d * ratio)
        total += depth * (6 * d + 256 * heads * d + 192 * heads + 7680 + 2 * hidden * d + hidden)
    return total[:, None]


def vit_problem(segments, tightness):
    space = vit_space(segments)
    now = vit_params(np.array([[d.upper for d in space.dimensions]], float), segments)[0, 0]
    return Problem(
        space, Budget((('params', tightness * now),)), lambda uppers: vit_params(uppers, segments)
    )


def vit_size(space):
    return {'params': vit.params(vit.architecture(space.largest(), image_size=224, classes=100))}


@pytest.mark.parametrize('segments, tightness', [(1, 1.001), (2, 1.001), (3, 0.97)])
def test_vit_of_segments_is_brute_force(segments, tightness):
    problem, gammas = vit_problem(segments, tightness), all_gammas(1 + 3 * segments)
    for seed in range(4):
        z = random_z(np.random.default_rng(seed), 1 + 3 * segments)
        check(search(problem.space, problem.budget, vit_size, z), brute_best(problem, z, gammas))


def test_vit_of_four_segments_equals_all_of_1_594_322_neighbours():
    problem = vit_problem(4, 1.001)
    gammas = np.stack(np.meshgrid(*[np.array([-1.0, 0, 1])] * 13, indexing='ij'), -1).reshape(
        -1, 13
    )
    lengths = np.sqrt((gammas**2).sum(1))
    z, calls = 1 + 1e-3 * np.random.default_rng(0).normal(size=13), []
    found = search(problem.space, problem.budget, lambda s: calls.append(s) or vit_size(s), z)
    cosines = np.where(lengths, gammas @ z / np.maximum(lengths, 1) / np.linalg.norm(z), -np.inf)
    better = gammas[cosines >= best(found).cosine - 1e-12]  # all that could be chosen in its stead
    assert len(better) > 1000 and len(calls) < 400
    check(found, brute_best(problem, z, better))


# --- slopes ---

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


def frozen(choices):
    return tuple(choices.items())


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
        sampled = slope_pairs(space, np.random.default_rng(0), 60)
        assert list(sampled) == list(space.names)
        for d in space.dimensions:
            assert len(sampled[d.name]) == (60 if len(d.values) > 1 else 0)
            met = set()
            for one, two in sampled[d.name]:
                assert space.contains(one) and space.contains(two)
                if d.per_block:
                    assert len(set(one[d.name])) == len(set(two[d.name])) == 1 and len(
                        one[d.name]
                    ) == len(two[d.name])
                low, high = ((c[d.name][0] if d.per_block else c[d.name]) for c in (one, two))
                assert low < high
                met.add((low, high))
                for other in space.dimensions:
                    if other.name != d.name:
                        a, b = one[other.name], two[other.name]
                        if (
                            other.per_block and d.name == 'depth'
                        ):  # the same blocks, as many as both have
                            a, b = zip(*zip(a, b)) if other.stage in (None, 2) else (a, b)
                        assert a == b, (d.name, other.name)
            assert met == set(itertools.combinations(d.values, 2))
        bases = {frozen(one) for pairs in sampled.values() for one, _ in pairs}
        assert len(bases) > 60  # not one base for all


# --- step ---


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
    space, score, visited, gammas = (
        problem.space,
        landscape(rng, problem.space.names),
        0,
        all_gammas(n),
    )
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
        assert (
            step.gamma == expected[0]
            and step.cosine == pytest.approx(expected[1])
            and step.cosine >= 0
        )
        assert all(abs(g) <= 1 for g in step.gamma) and step.space == space.moved(step.gamma)
        assert all(problem.size(step.space)[name] < limit for name, limit in problem.budget.limits)
        space, visited = step.space, visited + 1
    assert visited or step.stopped


def two_dimensions(limit=1e9):
    space = SearchSpace(
        (Dimension('embed_dim', 336, 384, 24), Dimension('mlp_ratio', 3.5, 4.5, 0.5)), ((1, None),)
    )
    return (
        space,
        Budget((('params', limit),)),
        lambda s: {'params': math.prod(s.largest().values())},
    )


def one_step(weights, limit=1e9, units='tau', forced=False):
    space, budget, size = two_dimensions(limit)

    def score(archs):
        return np.array([np.dot(weights, [value for _, value in arch]) for arch in archs])

    return explore.step(
        space,
        budget,
        size,
        score,
        frozen,
        np.random.default_rng(0),
        ExploreSettings(pairs=5, units=units),
        forced,
    )


def test_z_is_measured_in_moves_or_as_printed():
    """0.001 a channel is 0.024 a move, 0.01 a ratio 0.005 a move: by moves the width leads, as printed the ratio."""
    tau, raw = one_step((1e-3, 1e-2)), one_step((1e-3, 1e-2), units='raw')
    np.testing.assert_allclose(tau.z, (0.024, 0.005))
    np.testing.assert_allclose(raw.z, (1e-3, 1e-2))
    assert (tau.gamma, raw.gamma) == ((1, 0), (0, 1)) and (tau.units, raw.units) == ('tau', 'raw')
    assert tau.cosine == pytest.approx(0.024 / math.hypot(0.024, 0.005))
    assert one_step((1e-3, 4e-2)).gamma == (1, 1)  # 0.024 and 0.020: both


def test_why_a_step_stops():
    size = 384 * 4.5
    zero = one_step((0, 0))
    assert (
        zero.stopped == 'the accuracy gradient is zero' and zero.gamma is None and zero.cosine == 0
    )
    unaffordable = one_step((1, 1), limit=360 * 4)
    assert (
        unaffordable.stopped == 'no neighbouring space fits the budget'
        and unaffordable.cosine is None
    )
    assert len(unaffordable.candidates) == 8 and all(c.rejected for c in unaffordable.candidates)
    level = one_step((1, 0), limit=384 * 4.2)  # (0, -1) costs 384 · 4, (1, -1) 408 · 4
    assert level.gamma == (0, -1) and level.cosine == 0  # only a negative cosine stops
    downhill = one_step((1, 1), limit=size * 0.9)  # (-1, 0) and (-1, 1) cost more than 0.9
    assert (
        downhill.stopped.startswith('no legal neighbour ascends (best cosine -0.')
        and downhill.cosine < 0
    )
    assert downhill.space is None and downhill.gamma is None
    json.dumps([step.to_json() for step in (zero, unaffordable, downhill)])


def test_a_forced_step_descends():
    free, forced = (
        one_step((1, 1), limit=384 * 4.5 * 0.9),
        one_step((1, 1), limit=384 * 4.5 * 0.9, forced=True),
    )
    assert forced.stopped is None and forced.cosine == free.cosine < 0
    assert (
        forced.gamma
        == max((c for c in forced.candidates if c.rejected is None), key=lambda c: c.cosine).gamma
    )
    assert one_step((0, 0), limit=1500, forced=True).gamma == (
        -1,
        -1,
    )  # no gradient: the lexicographically first
    assert (
        one_step((1, 1), limit=360 * 4, forced=True).stopped
        == 'no neighbouring space fits the budget'
    )
    rewritten = json.loads(json.dumps(forced.to_json()))
    assert (
        SearchSpace.from_json(rewritten['space']) == forced.space
        and tuple(rewritten['gamma']) == forced.gamma
    )


# --- start ---


def brute_nearest(problem, radius):
    """All gamma within a radius, up as well as down: fewest moves, smallest sum, largest size, lexicographic."""
    n = len(problem.space.dimensions)
    gammas = np.array(list(itertools.product(range(-radius, radius + 1), repeat=n)))
    gammas = gammas[problem.legal(gammas)]
    costs = problem.arrays(gammas)[3][:, 0] if len(gammas) else ()
    rows = [
        (max(map(abs, g)), sum(map(abs, g)), -c, tuple(g)) for g, c in zip(gammas.tolist(), costs)
    ]
    return min(rows)[3] if rows else None


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
        assert problem.budget.fits(
            problem.size(space), strict=True
        ) and space == problem.space.moved(gamma)
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
    """Every move saves the same, so that all directions of the wanted sum are equal but for their order."""
    names = [f'own {k}_{k % stages + 1}' if stages else f'shared {k}' for k in range(5)]
    space = SearchSpace(
        tuple(Dimension(name, 4, 6, 1) for name in names), ((1, None),) * max(stages, 1)
    )
    for limit in (30, 29, 27.5, 25, 24, 21, 20.5):
        problem = Problem(
            space, Budget((('params', limit),)), lambda uppers: uppers.sum(1, keepdims=True)
        )
        assert start(space, problem.budget, problem.size, 'project')[1] == brute_nearest(problem, 2)


PAPER = SearchSpace(
    (
        Dimension('embed_dim', 336, 384, 24),
        Dimension('depth', 12, 14, 1),
        Dimension('num_heads', 2, 14, 2, per_block=True),
        Dimension('mlp_ratio', 3.5, 4.0, 0.5, per_block=True),
    ),
    ((1, 'depth'),),
)


def test_the_papers_own_space_is_over_its_budget_and_is_projected():
    def paper_size(space):
        return {'params': vit.params(vit.architecture(space.largest(), image_size=224, classes=10))}

    problem = Problem(
        PAPER, Budget((('params', 30e6),)), lambda uppers: vit_params(uppers, 1, classes=10)
    )
    assert (
        paper_size(PAPER)['params']
        == problem.size(PAPER)['params']
        == pytest.approx(36.4e6, abs=0.05e6)
    )
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
        space, gamma = start(
            problem.space, limits, lambda s: calls.append(s) or vit_size(s), 'project'
        )
        assert limits.fits(vit_size(space), strict=True) and len(calls) < 1500
        for k in range(16):  # no move back alone fits
            back = tuple(g + (i == k and g < 0) for i, g in enumerate(gamma))
            assert back == gamma or not limits.fits(
                vit_size(problem.space.moved(back)), strict=True
            )


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
