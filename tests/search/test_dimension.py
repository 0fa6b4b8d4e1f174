"""Dimensions against plain arithmetic: the grid, its defaults, its moves."""

import fractions
import itertools
import math

import numpy as np
import pytest

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.search.dimension import Dimension, DimensionSettings, parse_name, staged
from s4jax.search.space import SearchSpace


def random_dimension(rng):
    step = rng.choice([1, 2, 3, 7, 0.5, 0.25, 0.1, 2.3, 1 / 3, 1e-3])
    low, count, tau = rng.integers(1, 40), rng.integers(0, 6), rng.integers(1, 4)
    step = round(float(step), 6)
    return Dimension('x', low * step, (low + count) * step, step, tau=tau * step)


def fraction(value):
    return fractions.Fraction(str(value))


def test_grid_values_are_rounded():
    assert Dimension('embed_dim', 114, 119, 2.5).values == (114, 116.5, 119)
    (value,) = Dimension('embed_dim', 50 * 2.3, 50 * 2.3, 1).values
    assert int(50 * 2.3) == 114 and value == 115 and isinstance(value, int)
    assert Dimension('mlp_ratio', 0.1, 0.7, 0.1).values == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert Dimension('mlp_ratio', 3.5, 4, 0.5).values == (3.5, 4)
    rng = np.random.default_rng(0)
    for _ in range(300):
        dimension = random_dimension(rng)
        low, step = fraction(dimension.lower), fraction(dimension.step)
        for k, value in enumerate(dimension.values):
            assert value == round(float(low + k * step), 6)
            assert isinstance(value, int) == (value == int(value))
        assert dimension.values[-1] == dimension.upper


def test_defaults_of_tau_floor_and_ceiling():
    heads = Dimension('num_heads', 6, 14, 2)
    assert (heads.tau, heads.floor, heads.ceiling) == (2, 2, None)
    assert Dimension('embed_dim', 336, 384, 24).floor == 24
    assert Dimension('embed_dim', 340, 364, 24).floor == 4  # the grid of 340 goes down to 4
    assert Dimension('mlp_ratio', 3.5, 4, 0.5).floor == 0.5
    assert Dimension('mlp_ratio', 0.3, 0.5, 0.1).floor == 0.1


@pytest.mark.parametrize(
    'lower, upper, step, nearest',
    [
        (336, 385, 24, 384),
        (336, 397, 24, 408),
        (3.5, 4.2, 0.5, 4),
        (0.1, 0.34, 0.1, 0.3),
        (5, 5.4, 1, 5),
    ],
)
def test_an_upper_bound_off_the_grid_is_refused_with_the_nearest(lower, upper, step, nearest):
    message = rf'space\.embed_dim: upper=.*nearest value that is: {nearest}$'
    with pytest.raises(UsageError, match=message):
        Dimension('embed_dim', lower, upper, step)


@pytest.mark.parametrize(
    'values, message',
    [
        (dict(lower=2, upper=4, step=0), 'step=0 must be a number from 1e-06'),
        (dict(lower=2, upper=4, step=-1), 'step=-1 must be a number from 1e-06'),
        (dict(lower=4, upper=2, step=1), 'bounds 4..2 must be in order'),
        (dict(lower=0, upper=2, step=1), 'lower=0 must be a number from 1e-06'),
        (dict(lower=2, upper=4, step=1, tau=0.5), 'tau=0.5 must be a positive multiple of step=1'),
        (dict(lower=2, upper=4, step=1, tau=-1), 'tau=-1 must be a number from 1e-06'),
        (dict(lower=2, upper=4, step=1, floor=3), 'outside floor=3'),
        (dict(lower=2, upper=4, step=1, ceiling=3), 'outside floor=1 and ceiling=3'),
        (dict(lower=2, upper=4, step=1, floor=0), 'floor=0 must be a number from 1e-06'),
        (dict(lower=2, upper=4, step=1, floor=-3), 'floor=-3 must be a number from 1e-06'),
    ],
)
def test_bad_dimensions_are_refused(values, message):
    with pytest.raises(UsageError, match=rf'^space\.num_heads[:.].*{message}'):
        Dimension('num_heads', **values)


def test_moves_stay_on_the_grid_and_return():
    """A_j is a neighbour of A_i along gamma exactly if A_i is that of A_j along -gamma (Eq. 2)."""
    rng, moves = np.random.default_rng(1), 0
    for _ in range(300):
        dimension, steps = random_dimension(rng), int(rng.integers(-6, 7))
        if steps == 0 or dimension.lower == dimension.upper:
            continue
        low, tau = fraction(dimension.lower), fraction(dimension.tau)
        if dimension.obstacle(steps) is None:
            moved = dimension.moved(steps)
            assert moved.lower == round(float(low + steps * tau), 6) >= dimension.floor > 0
            assert len(moved.values) == len(dimension.values) and moved.floor == dimension.floor
            assert moved.obstacle(-steps) is None and moved.moved(-steps) == dimension
            moves += 1
        else:  # without a ceiling only the floor stands in the way
            assert 'floor' in dimension.obstacle(steps)
            assert low + steps * tau < fraction(dimension.floor)
    assert moves > 100


def test_floors_of_grids_that_binary_fractions_miss():
    dimension = Dimension('mlp_ratio', 0.3, 0.5, 0.1)
    assert 0.3 - 2 * 0.1 < 0.1  # so the bounds must be rounded before they are compared
    assert dimension.obstacle(-2) is None and dimension.moved(-2).values == (0.1, 0.2, 0.3)
    assert dimension.obstacle(-3) == 'mlp_ratio would fall below its floor 0.1'
    rising = Dimension('mlp_ratio', 0.1, 0.2, 0.1, ceiling=0.3)
    assert rising.obstacle(1) is None and rising.moved(1).upper == 0.3


NUMBERS = ('lower', 'upper', 'step', 'tau', 'floor', 'ceiling')
GRID = {'lower': 2, 'upper': 4, 'step': 1}


@pytest.mark.parametrize(
    'name, value',
    [
        *itertools.product(
            NUMBERS, (0, -1, 1e9, math.nan, math.inf, -math.inf, 10**400, True, 'wide', '', [2], {})
        ),
        *itertools.product(('per_block',), (1, 0, 'perhaps', None, 2.5, [True])),
        *itertools.product(('lower', 'upper', 'step'), (None,)),
    ],
)
def test_wrong_values_are_refused_by_key(name, value):
    for read in (
        lambda row: settings.read(DimensionSettings, row, 'space.x'),
        lambda row: Dimension('x', **row),
    ):
        with pytest.raises(UsageError, match=rf'^space\.x\.{name}=.* must be [^\n]*$'):
            read(GRID | {name: value})


def test_settings_make_the_dimension_of_a_name():
    row = GRID | {'step': 0.5, 'ceiling': 8, 'per_block': True}
    made = settings.read(DimensionSettings, row, 'config.space.x').dimension('x_2')
    assert made == Dimension('x_2', 2, 4, 0.5, ceiling=8, per_block=True)
    assert (made.tau, made.floor, made.base, made.stage) == (0.5, 0.5, 'x', 1)
    with pytest.raises(UsageError, match='^config.space.x: upper=4 is not on the grid'):
        settings.read(DimensionSettings, GRID | {'step': 1.5}, 'config.space.x')
    with pytest.raises(UsageError, match='^config.space.x.stop is unknown; did you mean step'):
        settings.read(DimensionSettings, GRID | {'stop': 1}, 'config.space.x')


def test_what_would_hang_is_refused_at_once():
    with pytest.raises(UsageError, match='have 1,001 choices, more than 1,000; take a larger step'):
        Dimension('embed_dim', 1, 1001, 1)
    assert len(Dimension('embed_dim', 1, 1000, 1).values) == 1000
    for name in ('depth', 'depth_3'):
        with pytest.raises(UsageError, match=f'space.{name}: upper=201 .* at most 200'):
            Dimension(name, 101, 201, 1)


def test_no_move_leads_to_values_that_are_refused():
    depth, width = Dimension('depth', 190, 199, 1), Dimension('embed_dim', 999_998, 999_999, 1)
    for dimension, most in ((depth, '200'), (width, '1,000,000')):
        assert dimension.obstacle(1) is None and dimension.moved(1).upper == dimension.upper + 1
        assert dimension.obstacle(2) == (
            f'{dimension.name} would rise above the largest value allowed, {most}'
        )
    space = SearchSpace((depth, width), ((1, 'depth'),))
    assert space.obstacle((1, 1)) is None and 'depth would rise' in space.obstacle((2, 1))


def test_names_and_their_stages():
    names = {'mlp_ratio_2': 1, 'mlp_ratio_10': 9, 'mlp_ratio_1': 0, 'mlp_ratio': None}
    assert [parse_name(name) for name in names] == [('mlp_ratio', s) for s in names.values()]
    for name in ('mlp_ratio_0', 'mlp_ratio_01', 'mlp_ratio_', '_2', 'mlp_ratio_²', ''):
        assert parse_name(name) == (name, None)
    assert staged(names, 'mlp_ratio') == ('mlp_ratio_1', 'mlp_ratio_2', 'mlp_ratio_10')
    assert staged(names, 'mlp') == ()
