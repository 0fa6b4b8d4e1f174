"""S3: the lines of known errors, the rounding of moves, clipping, and the way back to a budget."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from search.problems import frozen

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.search import s3
from s4jax.search.budget import Budget
from s4jax.search.s3 import Line, Move, Quality, S3Settings, S3Step
from s4jax.search.space import Dimension, SearchSpace

SPACE = SearchSpace(
    (
        Dimension('embed_dim', 16, 32, 8),
        Dimension('depth', 1, 3, 1),
        Dimension('num_heads', 2, 4, 1, per_block=True),
        Dimension('patch', 2, 2, 1),
    ),
    ((1, 'depth'),),
)
FLAT = SearchSpace(
    (Dimension('a', 2, 6, 2), Dimension('b', 1, 2, 0.5), Dimension('c', 7, 7, 1)), ((1, None),)
)
EVERY = 10**5  # more than any sample here: the top tier is everything


def every(space):
    """All choices of a space."""
    depths = [d.values for d in space.dimensions if not d.per_block]
    names = [d.name for d in space.dimensions if not d.per_block]
    for chosen in itertools.product(*depths):
        given = dict(zip(names, chosen))
        blocks = [
            list(itertools.product(d.values, repeat=space.blocks(d, given)))
            for d in space.dimensions
            if d.per_block
        ]
        for drawn in itertools.product(*blocks):
            rows = iter(drawn)
            yield {d.name: next(rows) if d.per_block else given[d.name] for d in space.dimensions}


def errors_of(members, weights, over=sum):
    """Errors linear in every dimension; a per-block one counts by the `over` of its blocks."""
    return [
        0.4
        + sum(
            w * (over(m[name]) if isinstance(m[name], tuple) else m[name])
            for name, w in weights.items()
        )
        for m in members
    ]


def slopes(space, members, errors, best):
    return [line.slope for line in s3.fit_lines(s3.quality(space, members, errors, best))]


@pytest.mark.parametrize('best', [1, 2, 3, EVERY])
def test_lines_of_linear_errors_are_their_coefficients(best):
    members = list(every(FLAT))
    assert len(members) == 9
    found = s3.quality(FLAT, members, errors_of(members, {'a': 0.03, 'b': -0.05}), best)
    lines = s3.fit_lines(found)
    np.testing.assert_allclose([line.slope for line in lines], [0.03, -0.05, 0], atol=1e-15)
    # the line of a meets b at its mean (1.5), and among the best at the mean of its best
    top = np.mean([2, 1.5, 1][: min(best, 3)])
    assert lines[0].intercept == pytest.approx(0.4 - 0.05 * (1.5 + top) / 2, abs=1e-15)
    assert found[2] == Quality('c', (7,), found[2].expected, found[2].top)
    assert lines[2] == Line(0.0, sum(p for _, p in found[2].points))  # one choice: no slope


@pytest.mark.parametrize('over, scale', [(sum, 1.0), (np.mean, (1 + 1 / 2 + 1 / 3) / 3)])
def test_a_line_of_a_per_block_dimension_is_what_one_block_does(over, scale):
    one_of_each = {depth: [m for m in every(SPACE) if m['depth'] == depth] for depth in (1, 2, 3)}
    # every depth as often as any other: 3, 9 and 27 sets of heads
    members = [m for depth, ms in one_of_each.items() for m in ms * 3 ** (3 - depth)]
    weights = {'embed_dim': 1e-3, 'num_heads': -0.02, 'patch': 5.0}
    measured = slopes(SPACE, members, errors_of(members, weights, over), EVERY)
    np.testing.assert_allclose(measured[0], 1e-3, atol=1e-14)
    np.testing.assert_allclose(measured[2:], [-0.02 * scale, 0], atol=1e-14)
    # 3 heads a block on average: depth d adds 3 d under a sum and nothing under a mean
    np.testing.assert_allclose(measured[1], -0.06 if over is sum else 0, atol=1e-14)


def test_quality_by_hand():
    space = SearchSpace((Dimension('heads', 1, 3, 1, per_block=True),), ((2, None),))
    members = [{'heads': h} for h in ((1, 1), (1, 2), (2, 2), (2, 1))]
    (found,) = s3.quality(space, members, [0.1, 0.2, 0.3, 0.6], best=2)
    half = 0.5
    assert found.values == (1, 2, 3) and found.expected[2] is None and found.top[2] is None
    assert found.expected[0] == pytest.approx((0.1 + half * 0.2 + half * 0.6) / 2)
    assert found.expected[1] == pytest.approx((half * 0.2 + 0.3 + half * 0.6) / 2)
    assert found.top[0] == pytest.approx((0.1 + half * 0.2) / 1.5)
    assert found.top[1] == pytest.approx((half * 0.2 + 0.3) / 1.5)
    assert found.points == [  # the choice that nobody uses has no say in the line
        (v, pytest.approx((e + t) / 2)) for v, e, t in zip((1, 2), found.expected, found.top)
    ]
    (line,) = s3.fit_lines([found])
    assert line.slope == pytest.approx(found.points[1][1] - found.points[0][1])
    (lone,) = s3.fit_lines(s3.quality(space, members[:1], [0.1], best=2))
    assert lone == Line(0.0, pytest.approx(0.1))


def test_lines_of_a_noisy_sample_are_those_of_numpy():
    rng = np.random.default_rng(0)
    members = [SPACE.sample(rng) for _ in range(120)]
    errors = np.clip(errors_of(members, {'embed_dim': 1e-3, 'depth': -0.02}), 0, 1)
    errors = errors + 0.05 * rng.normal(size=120)
    found = s3.quality(SPACE, members, errors, best=20)
    for d, q, line in zip(SPACE.dimensions[:3], found, s3.fit_lines(found)):
        share = [[np.mean(np.array(m[d.name]) == v) for v in d.values] for m in members]
        for k, column in enumerate(np.array(share).T):
            users = sorted((e, w) for e, w in zip(errors, column) if w)
            expected, top = (
                sum(e * w for e, w in rows) / sum(w for _, w in rows)
                for rows in (users, users[:20])
            )
            assert q.points[k] == (d.values[k], pytest.approx((expected + top) / 2, rel=1e-12))
        np.testing.assert_allclose(line, np.polyfit(*zip(*q.points), 1), rtol=1e-9)
    assert s3.quality(SPACE, members[::-1], errors[::-1], best=20) == tuple(  # in any order
        Quality(q.name, q.values, pytest.approx(q.expected), pytest.approx(q.top)) for q in found
    )


E = 1e-6
EDGES = [  # w / quantum, moves with floor, moves with trunc
    (0, 0, 0),
    (E, 0, 0),
    (1 - E, 0, 0),
    (1, -1, -1),
    (1 + E, -1, -1),
    (2 - E, -1, -1),
    (-E, 1, 0),
    (-1 + E, 1, 0),
    (-1, 1, 1),
    (-1 - E, 2, 1),
    (-2.5, 3, 2),
    (1e-13, 0, 0),  # the rounding of floats is no slope
    (-1e-13, 0, 0),
    (1 - 1e-13, -1, -1),
    (-1 - 1e-13, 1, 1),
]


@pytest.mark.parametrize('quantum', [0.01, 0.1, 0.3, 1.0])
@pytest.mark.parametrize('ratio, floor, trunc', EDGES)
def test_rounding_at_the_edges(ratio, floor, trunc, quantum):
    space = SearchSpace(
        (Dimension('wide', 500, 900, 50, tau=100), Dimension('narrow', 5, 6, 0.5)), ((1, None),)
    )
    slopes = (ratio * quantum / 100, ratio * quantum / 0.5)  # per unit: a move is one tau
    for rounding, moves in (('floor', floor), ('trunc', trunc)):
        found = s3.move(space, slopes, S3Settings(quantum=(quantum,), rounding=rounding))
        assert found == Move((moves, moves), (moves, moves), ())
        moved = space.moved(found.gamma)
        assert [d.lower for d in moved.dimensions] == [500 + 100 * moves, 5 + 0.5 * moves]


def test_decimal_quanta_are_whole():
    space = SearchSpace((Dimension('a', 5, 6, 1),), ((1, None),))
    assert math.floor(0.3 / 0.1) == 2  # which is why
    for k in range(-40, 5):
        for rounding in ('floor', 'trunc'):
            chosen = S3Settings(quantum=(0.1,), rounding=rounding)
            assert s3.move(space, [k * 0.1], chosen).gamma == (-k,)


def test_each_dimension_may_have_its_own_quantum():
    space = SearchSpace((Dimension('a', 50, 60, 1), Dimension('b', 50, 60, 1)), ((1, None),))
    assert s3.move(space, (0.1, 0.1), S3Settings(quantum=(0.05, 0.02))).gamma == (-2, -5)
    assert s3.move(space, (0.1, 0.1), S3Settings(quantum=0.05 * np.ones(1))).gamma == (-2, -2)
    with pytest.raises(
        UsageError, match=r'^config\.s3\.quantum=\(0\.1, 0\.1, 0\.1\) [^\n]* of a, b$'
    ):
        s3.quanta(space, S3Settings(quantum=(0.1, 0.1, 0.1)))


def test_moves_are_clipped_to_floors_and_ceilings():
    space = SearchSpace(
        (
            Dimension('embed_dim', 48, 64, 8, tau=16, floor=24),
            Dimension('ratio', 3, 4, 0.5, ceiling=5),
            Dimension('depth', 198, 199, 1),
            Dimension('patch', 2, 2, 1),
            Dimension('heads', 4, 8, 1, floor=2, ceiling=10),
        ),
        ((1, 'depth'),),
    )
    chosen = S3Settings(quantum=(0.01,))
    found = s3.move(space, (0.05 / 16, -0.08, -0.03, 9.0, 0.02), chosen)
    assert found.wanted == (-5, 4, 3, -900, -2)
    assert found.gamma == (-1, 2, 1, 0, -2)  # 32 and not 16; 5 at most; 200 blocks; one choice
    assert found.clipped == (
        'embed_dim would fall below its floor 24: -1 of -5 moves',
        'ratio would rise above its ceiling 5: 2 of 4 moves',
        'depth would rise above the largest value allowed, 200: 1 of 3 moves',
        'patch has one choice and stays: 0 of -900 moves',
    )
    assert space.obstacle(found.gamma) is None
    huge = s3.move(space, (1e6, -1e6, 1e6, 0, -1e6), S3Settings(quantum=(1e-6,)))  # and at once
    assert huge.gamma == (-1, 2, -197, 0, 2)


@pytest.mark.parametrize('seed', range(5))
def test_no_move_passes_a_bound_and_the_next_one_would(seed):
    rng = np.random.default_rng(seed)
    dimensions = []
    for k in range(6):
        low, count, step = int(rng.integers(2, 9)), int(rng.integers(1, 4)), rng.choice([1, 0.5])
        top = (low + count + int(rng.integers(0, 6))) * step
        dimensions.append(
            Dimension(f'd{k}', low * step, (low + count) * step, step, ceiling=float(top))
        )
    space = SearchSpace(tuple(dimensions), ((1, None),))
    found = s3.move(space, rng.normal(size=6), S3Settings(quantum=(0.2,)))
    clipped = 0
    for d, wanted, made in zip(dimensions, found.wanted, found.gamma):
        assert abs(made) <= abs(wanted) and made * wanted >= 0 and d.obstacle(made) is None
        if made != wanted:
            assert d.obstacle(made + (1 if wanted > 0 else -1))
            clipped += 1
    assert len(found.clipped) == clipped


def scorer(weights, calls=None):
    def score(archs):
        if calls is not None:
            calls.append(list(archs))
        return 1 - np.array(errors_of([dict(arch) for arch in archs], weights, np.mean))

    return score


def run(weights, seed=0, space=SPACE, calls=None, **changed):
    return s3.step(
        space, scorer(weights, calls), frozen, np.random.default_rng(seed), S3Settings(**changed)
    )


def test_a_step_measures_the_space_and_moves_it():
    calls = []
    found = run({'embed_dim': -0.004}, samples=300, best=EVERY, calls=calls)
    (members,) = calls  # all in one call, all of the space
    assert len(members) == 300 and all(SPACE.contains(dict(arch)) for arch in members)
    assert found.qualities == s3.quality(
        SPACE,
        [dict(arch) for arch in members],
        1 - scorer({'embed_dim': -0.004})(members),
        EVERY,
    )
    assert found.lines == s3.fit_lines(found.qualities)
    assert found.lines[0].slope == pytest.approx(-0.004, abs=1e-12)  # of an exact dimension
    assert found.move == s3.move(SPACE, [line.slope for line in found.lines], S3Settings())
    assert found.move.gamma[0] == 4  # 8 * 0.004 is 3.2 quanta of 0.01
    assert found.move.gamma[3] == 0 and found.stopped is None
    assert found.space == SPACE.moved(found.move.gamma)


def test_floor_grows_what_does_not_matter_and_trunc_keeps_it():
    noise = np.random.default_rng(0).normal(0, 1e-4, (200, 3))
    slopes = np.concatenate([noise, np.zeros((200, 1))], 1)
    moves = {
        rounding: np.array(
            [s3.move(SPACE, row, S3Settings(rounding=rounding)).gamma for row in slopes]
        )
        for rounding in ('floor', 'trunc')
    }
    assert not moves['trunc'].any()
    np.testing.assert_array_equal(moves['floor'], slopes < 0)


@pytest.mark.parametrize('seed', range(5))
def test_equal_errors_move_nothing_at_the_finest_quantum(seed):
    even = run({}, seed, quantum=(1e-6,))
    assert even.move.wanted == (0, 0, 0, 0) and even.stopped


def test_why_a_step_stops():
    still = run({'embed_dim': 1e-5}, samples=300, best=EVERY, rounding='trunc')
    assert still.stopped == 'every slope is rounded to no move; lower s3.quantum'
    assert still.space is None and still.move.gamma == (0, 0, 0, 0)
    held = SearchSpace((Dimension('a', 1, 3, 1, ceiling=3),), ((1, None),))
    top = run({'a': -0.1}, space=held)
    assert top.stopped == top.move.clipped[0] == 'a would rise above its ceiling 3: 0 of 10 moves'
    assert top.space is None


def test_json_keeps_every_bit():
    steps = [
        run({'embed_dim': -0.004, 'num_heads': 0.03}),
        run({}, rounding='trunc'),
        run({'embed_dim': -0.1}, samples=2),  # some choices are not used
    ]
    assert None in steps[2].qualities[0].expected and steps[1].stopped and steps[0].space
    for step in steps:
        text = json.dumps(step.to_json(), allow_nan=False)
        assert S3Step.from_json(json.loads(text)) == step
        assert S3Step.from_json(step.to_json()) == step


def test_a_step_is_a_function_of_its_seed():
    weights = {'embed_dim': -0.004, 'depth': 0.02, 'num_heads': 0.03}
    assert run(weights, 3) == run(weights, 3)
    assert run(weights, 3).qualities != run(weights, 4).qualities


def product_cost(arch):
    sizes = dict(arch)
    return {'params': sizes['embed_dim'] * sum(sizes['num_heads']), 'macs': sizes['depth']}


def test_a_search_that_leaves_the_budget_backtracks_twice():
    spaces, rng, chosen = [SPACE], np.random.default_rng(0), S3Settings(samples=100)
    for _ in range(3):  # wider is better, without end
        found = s3.step(spaces[-1], scorer({'embed_dim': -0.004}), frozen, rng, chosen)
        assert found.stopped is None
        spaces.append(found.space)
    least = [product_cost(frozen(space.smallest()))['params'] for space in spaces]
    assert least == sorted(set(least))

    def back(limits):
        return s3.backtrack(spaces, Budget(limits), product_cost, frozen)

    assert back((('params', least[1]),)) == (1, 2)  # an architecture may meet its limit (Eq. 1)
    assert back((('params', least[2] - 1),)) == (1, 2)
    assert back((('params', least[2]),)) == (2, 1)
    assert back((('params', least[3]),)) == back(()) == (3, 0)
    assert back((('params', least[0]),)) == (0, 3)
    with pytest.raises(UsageError) as error:
        back((('params', least[0] - 1),))
    assert '\n' not in str(error.value)
    assert f'4 spaces that were visited fits the budget: the smallest has params {least[0]}' in str(
        error.value
    )
    with pytest.raises(UsageError, match='macs'):  # every limit must hold
        back((('params', least[3]), ('macs', 0.5)))


@pytest.mark.parametrize('seed', range(10))
def test_backtrack_equals_the_whole_list(seed):
    rng = np.random.default_rng(seed)
    spaces = [SPACE.moved((int(rng.integers(-1, 5)), int(rng.integers(0, 2)), 0, 0)) for _ in '123']
    limit = float(rng.integers(30, 150))
    fitting = [
        any(product_cost(frozen(choices))['params'] <= limit for choices in every(space))
        for space in spaces
    ]
    budget = Budget((('params', limit),))
    if any(fitting):
        latest = max(np.flatnonzero(fitting))
        assert s3.backtrack(spaces, budget, product_cost, frozen) == (latest, 2 - latest)
    else:
        with pytest.raises(UsageError):
            s3.backtrack(spaces, budget, product_cost, frozen)


@pytest.mark.parametrize(
    'name, value',
    [
        *itertools.product(('iterations',), (-1, 101, 1.5, math.nan, math.inf, True, None, 'x')),
        *itertools.product(('samples', 'best'), (0, -1, 1e9, 1.5, math.nan, True, None, [1])),
        *itertools.product(('quantum',), ([], [0], [-1], [2], [math.nan], [None], 'x', None)),
        *itertools.product(('rounding',), ('', 'FLOOR', 'round', 1, None, True)),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=rf'^config\.s3\.{name}=.* must be [^\n]*$'):
        settings.read(S3Settings, {name: value}, 'config.s3')


def test_settings_are_described_and_read_from_text():
    assert all(field.description for field in S3Settings.model_fields.values())
    read = settings.read(S3Settings, {'samples': '2k', 'quantum': '0.01,0.02'}, '')
    assert read == S3Settings(samples=2000, quantum=(0.01, 0.02))
    assert dataclasses.is_dataclass(S3Step) and S3Step.__dataclass_params__.frozen
