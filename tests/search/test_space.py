"""Search spaces against plain arithmetic: the grid, Eq. 2's neighbours, draws cut and laid out by stage, JSON."""

import fractions
import itertools
import json
import math

import numpy as np
import pytest

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.search.budget import Budget, BudgetSettings, readable
from s4jax.search.space import Dimension, SearchSpace, per_block
from s4jax.settings import Float

VIT = SearchSpace(
    (  # Table 1 of the paper
        Dimension('embed_dim', 336, 384, 24),
        Dimension('depth', 12, 14, 1),
        Dimension('num_heads', 2, 14, 2, per_block=True),
        Dimension('mlp_ratio', 3.5, 4, 0.5, per_block=True),
    ),
    ((1, 'depth'),),
)
SWIN = SearchSpace(
    (
        Dimension('embed_dim', 72, 96, 12),
        Dimension('depth', 10, 14, 2),
        Dimension('mlp_ratio', 3, 4, 0.5, per_block=True),
    ),
    ((2, None), (2, None), (1, 'depth'), (2, None)),
)
SHUNTED = SearchSpace(
    (
        Dimension('embed_dim', 36, 60, 12),
        Dimension('depth', 3, 5, 1),
        Dimension('mlp_ratio', 6, 8, 1, per_block=True),
    ),
    ((2, None), (1, 'depth'), (3, 'depth'), (1, None)),
)
SEGMENTS = SearchSpace(
    (
        Dimension('embed_dim', 16, 32, 8),
        Dimension('depth_1', 1, 3, 1),
        Dimension('depth_2', 2, 4, 2),
        Dimension('num_heads_1', 2, 4, 1, per_block=True),
        Dimension('num_heads_2', 10, 16, 2, per_block=True),
        Dimension('mlp_ratio', 2, 4, 0.5, per_block=True),
    ),
    ((1, 'depth_1'), (1, 'depth_2')),
)
STAGED = SearchSpace(
    (  # Swin's stages, each with ratios of its own
        Dimension('depth', 1, 3, 1),
        *(Dimension(f'mlp_ratio_{s}', 10 * s, 10 * s + 3, 1, per_block=True) for s in (1, 2, 3, 4)),
    ),
    ((2, None), (2, None), (1, 'depth'), (2, None)),
)
SPACES = [VIT, SWIN, SHUNTED, SEGMENTS, STAGED]


def lengths(space, choices):
    """Blocks per stage by hand: what each per-block dimension must hold."""
    return [count * (1 if name is None else choices[name]) for count, name in space.stages]


def stage_of(name):
    return int(name[-1]) - 1 if name[-2:] in ('_1', '_2', '_3', '_4') else None


def random_dimension(rng):
    step = rng.choice([1, 2, 3, 7, 0.5, 0.25, 0.1, 2.3, 1 / 3, 1e-3])
    low, count, tau = rng.integers(1, 40), rng.integers(0, 6), rng.integers(1, 4)
    step = round(float(step), 6)
    return Dimension('x', low * step, (low + count) * step, step, tau=tau * step)


def test_grid_values_are_rounded():
    assert Dimension('embed_dim', 114, 119, 2.5).values == (114, 116.5, 119)
    (value,) = Dimension('embed_dim', 50 * 2.3, 50 * 2.3, 1).values
    assert int(50 * 2.3) == 114 and value == 115 and isinstance(value, int)
    assert Dimension('mlp_ratio', 0.1, 0.7, 0.1).values == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert Dimension('mlp_ratio', 3.5, 4, 0.5).values == (3.5, 4)
    rng = np.random.default_rng(0)
    for _ in range(300):
        dimension = random_dimension(rng)
        low, step = (
            fractions.Fraction(str(dimension.lower)),
            fractions.Fraction(str(dimension.step)),
        )
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
    'lower, upper, step, told',
    [
        (336, 385, 24, 384),
        (336, 397, 24, 408),
        (3.5, 4.2, 0.5, 4),
        (0.1, 0.34, 0.1, 0.3),
        (5, 5.4, 1, 5),
    ],
)
def test_an_upper_bound_off_the_grid_is_refused_with_the_nearest(lower, upper, step, told):
    with pytest.raises(
        UsageError, match=rf'space\.embed_dim: upper=.*nearest value that is: {told}$'
    ):
        Dimension('embed_dim', lower, upper, step)


@pytest.mark.parametrize(
    'values, told',
    [
        (dict(lower=2, upper=4, step=0), 'step=0 must be a number at least 1e-06'),
        (dict(lower=2, upper=4, step=-1), 'step=-1 must be a number at least 1e-06'),
        (dict(lower=4, upper=2, step=1), 'bounds 4..2 must be in order'),
        (dict(lower=0, upper=2, step=1), 'lower=0 must be a number at least 1e-06'),
        (dict(lower=2, upper=4, step=1, tau=0.5), 'tau=0.5 must be a positive multiple of step=1'),
        (dict(lower=2, upper=4, step=1, tau=-1), 'tau=-1 must be a number at least 1e-06'),
        (dict(lower=2, upper=4, step=1, floor=3), 'outside floor=3'),
        (dict(lower=2, upper=4, step=1, ceiling=3), 'outside floor=1 and ceiling=3'),
        (dict(lower=2, upper=4, step=1, floor=0), 'floor=0 must be a number at least 1e-06'),
        (dict(lower=2, upper=4, step=1, floor=-3), 'floor=-3 must be a number at least 1e-06'),
    ],
)
def test_bad_dimensions_are_refused(values, told):
    with pytest.raises(UsageError, match=rf'^space\.num_heads[:.].*{told}'):
        Dimension('num_heads', **values)


@pytest.mark.parametrize(
    'names, stages, told',
    [
        (('embed_dim',), ((1, 'depth'),), r'space\.depth is missing'),
        (
            ('embed_dim', 'num_heads_2'),
            ((1, None), (1, None)),
            r'space\.num_heads .* it is given for stages \[2\]',
        ),
        (
            ('num_heads_1', 'num_heads_2', 'num_heads_3'),
            ((1, None), (1, None)),
            r'num_heads .* it is given for stages \[1, 2, 3\]',
        ),
        (
            ('num_heads', 'num_heads_2'),
            ((1, None), (1, None)),
            r'space\.num_heads .* it is given for stages \[1, 2, 2\]',
        ),
    ],
)
def test_dimensions_that_do_not_match_the_stages_are_refused(names, stages, told):
    with pytest.raises(UsageError, match=told):
        SearchSpace(
            tuple(Dimension(n, 2, 4, 1, per_block=n.startswith('num_heads')) for n in names), stages
        )


@pytest.mark.parametrize('lower, step, per_block', [(2, 0.5, False), (1.5, 1, False), (2, 1, True)])
def test_a_depth_is_a_whole_number_for_all_blocks(lower, step, per_block):
    with pytest.raises(UsageError, match=r'space\.depth gives a number of blocks'):
        SearchSpace(
            (Dimension('depth', lower, lower + 2, step, per_block=per_block),), ((1, 'depth'),)
        )


def test_moves_stay_on_the_grid_and_return():
    """A_j is the neighbour of A_i along gamma if and only if A_i is that of A_j along -gamma (Eq. 2)."""
    rng, moves = np.random.default_rng(1), 0
    for _ in range(300):
        dimension, steps = random_dimension(rng), int(rng.integers(-6, 7))
        if steps == 0 or dimension.lower == dimension.upper:
            continue
        low, tau = fractions.Fraction(str(dimension.lower)), fractions.Fraction(str(dimension.tau))
        if dimension.obstacle(steps) is None:
            moved = dimension.moved(steps)
            assert moved.lower == round(float(low + steps * tau), 6) >= dimension.floor > 0
            assert len(moved.values) == len(dimension.values) and moved.floor == dimension.floor
            assert moved.obstacle(-steps) is None and moved.moved(-steps) == dimension
            moves += 1
        else:  # without a ceiling only the floor stands in the way
            assert 'floor' in dimension.obstacle(steps) and low + steps * tau < fractions.Fraction(
                str(dimension.floor)
            )
    assert moves > 100


def test_floors_of_grids_that_binary_fractions_miss():
    dimension = Dimension('mlp_ratio', 0.3, 0.5, 0.1)
    assert 0.3 - 2 * 0.1 < 0.1  # so the bounds must be rounded before they are compared
    assert dimension.obstacle(-2) is None and dimension.moved(-2).values == (0.1, 0.2, 0.3)
    assert dimension.obstacle(-3) == 'mlp_ratio would fall below its floor 0.1'
    rising = Dimension('mlp_ratio', 0.1, 0.2, 0.1, ceiling=0.3)
    assert rising.obstacle(1) is None and rising.moved(1).upper == 0.3


@pytest.mark.parametrize('space', SPACES, ids=str)
def test_neighbours_are_mutual_and_all_of_eq_2(space):
    names = [d.name for d in space.dimensions]
    listed = list(space.directions())
    assert len(set(listed)) == 3 ** len(names) - 1 and listed == sorted(listed)
    reached = set()
    for gamma in listed:
        if space.obstacle(gamma):
            continue
        moved = space.moved(gamma)
        for before, after, g in zip(space.dimensions, moved.dimensions, gamma):
            assert (after.lower - before.lower, after.upper - before.upper) == (
                g * before.tau,
                g * before.tau,
            )
        back = tuple(-g for g in gamma)
        assert moved.obstacle(back) is None and moved.moved(back) == space
        reached.add(moved)
    assert space not in reached
    assert len(reached) == sum(not space.obstacle(gamma) for gamma in listed)


def test_floors_ceilings_and_single_choices_stand_in_the_way():
    space = SearchSpace(
        (
            Dimension('embed_dim', 24, 72, 24),
            Dimension('depth', 2, 4, 1, floor=2, ceiling=5),
            Dimension('num_heads', 3, 3, 1, per_block=True),
            Dimension('mlp_ratio', 2, 4, 0.5, tau=1, per_block=True),
        ),
        ((1, 'depth'),),
    )
    legal = {gamma for gamma in space.directions() if space.obstacle(gamma) is None}
    assert legal == set(itertools.product((0, 1), (0, 1), (0,), (-1, 0, 1))) - {(0, 0, 0, 0)}
    assert space.obstacle((-1, 0, 0, 0)) == 'embed_dim would fall below its floor 24'
    assert space.obstacle((0, 2, 0, 0)) == 'depth would rise above its ceiling 5'
    assert space.obstacle((0, 0, 1, 0)) == 'num_heads has one choice and stays'
    assert space.obstacle((0, 1, 0, -1)) is None and space.obstacle((0, 0, 0, -2)) is not None
    with pytest.raises(ValueError):
        space.obstacle((0, 0))


@pytest.mark.parametrize('space', SPACES, ids=str)
def test_samples_are_uniform_choices_of_the_right_lengths(space):
    rng, seen = np.random.default_rng(2), {}
    for _ in range(600):
        drawn = space.draw(rng)
        sample = space.cut(drawn)
        assert space.contains(sample) and tuple(lengths(space, sample)) == space.layout(sample)
        for d in space.dimensions:
            seen.setdefault(d.name, []).extend(sample[d.name] if d.per_block else [sample[d.name]])
            if d.per_block:
                stage, blocks = stage_of(d.name), lengths(space, sample)
                expected = sum(blocks) if stage is None else blocks[stage]
                assert len(sample[d.name]) == expected == space.blocks(d, sample)
    for d in space.dimensions:
        values, counts = np.unique(seen[d.name], return_counts=True)
        assert tuple(values) == d.values
        assert np.all(
            np.abs(counts / counts.sum() - 1 / len(values)) < 5 / np.sqrt(counts.sum())
        ), d.name


def test_a_cut_keeps_the_first_blocks_of_every_stage():
    """With every block's value naming its stage and place, what is left shows what was cut."""
    drawn = {
        'embed_dim': 36,
        'depth': 3,
        'mlp_ratio': (
            'a0',
            'a1',
            *(f'b{i}' for i in range(5)),
            *(f'c{i}' for i in range(15)),
            'd0',
        ),
    }
    assert SHUNTED.full_layout == (2, 5, 15, 1)
    assert SHUNTED.cut(drawn)['mlp_ratio'] == (
        'a0',
        'a1',
        'b0',
        'b1',
        'b2',
        *(f'c{i}' for i in range(9)),
        'd0',
    )
    drawn = {
        'embed_dim': 16,
        'depth_1': 2,
        'depth_2': 4,
        'num_heads_1': ('a0', 'a1', 'a2'),
        'num_heads_2': ('b0', 'b1', 'b2', 'b3'),
        'mlp_ratio': ('a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'b3'),
    }
    assert SEGMENTS.cut(drawn) == {
        'embed_dim': 16,
        'depth_1': 2,
        'depth_2': 4,
        'num_heads_1': ('a0', 'a1'),
        'num_heads_2': ('b0', 'b1', 'b2', 'b3'),
        'mlp_ratio': ('a0', 'a1', 'b0', 'b1', 'b2', 'b3'),
    }
    assert drawn['num_heads_1'] == ('a0', 'a1', 'a2')


@pytest.mark.parametrize('space', SPACES, ids=str)
def test_resize_keeps_what_was_there_and_takes_the_rest_from_fresh(space):
    rng = np.random.default_rng(3)

    def labelled(choices, prefix, sizes):
        names = {s: [f'{prefix}{s}.{i}' for i in range(size)] for s, size in enumerate(sizes)}
        return choices | {
            d.name: tuple(
                itertools.chain.from_iterable(
                    names[s] for s in names if stage_of(d.name) in (None, s)
                )
            )
            for d in space.dimensions
            if d.per_block
        }

    for _ in range(50):
        had, wanted = space.sample(rng), space.sample(rng)
        scalars = {d.name: wanted[d.name] for d in space.dimensions if not d.per_block}
        resized = space.resize(
            labelled(had, 'old', lengths(space, had)) | scalars,
            space.layout(had),
            labelled({}, 'new', lengths(space, space.largest())),
        )
        for d in space.dimensions:
            expected = [
                f'{"old" if i < before else "new"}{s}.{i}'
                for s, (before, after) in enumerate(
                    zip(lengths(space, had), lengths(space, wanted))
                )
                if stage_of(d.name) in (None, s)
                for i in range(after)
            ]
            assert resized[d.name] == (tuple(expected) if d.per_block else wanted[d.name])


def test_largest_and_smallest_are_the_bounds_in_every_block():
    assert VIT.largest() == {
        'embed_dim': 384,
        'depth': 14,
        'num_heads': (14,) * 14,
        'mlp_ratio': (4,) * 14,
    }
    assert SWIN.smallest() == {'embed_dim': 72, 'depth': 10, 'mlp_ratio': (3,) * 16}
    assert SHUNTED.largest() == {'embed_dim': 60, 'depth': 5, 'mlp_ratio': (8,) * 23}
    assert SEGMENTS.largest() == {
        'embed_dim': 32,
        'depth_1': 3,
        'depth_2': 4,
        'num_heads_1': (4,) * 3,
        'num_heads_2': (16,) * 4,
        'mlp_ratio': (4,) * 7,
    }
    assert STAGED.smallest() == {
        'depth': 1,
        'mlp_ratio_1': (10, 10),
        'mlp_ratio_2': (20, 20),
        'mlp_ratio_3': (30,),
        'mlp_ratio_4': (40, 40),
    }


def test_contains():
    sample = VIT.sample(np.random.default_rng(4))
    assert VIT.contains(sample) and not VIT.contains(sample | {'embed_dim': 348})
    assert not VIT.contains(sample | {'num_heads': sample['num_heads'][:-1] + (3,)})
    assert not VIT.moved((1, 0, 0, 0)).contains(sample | {'embed_dim': 336})


@pytest.mark.parametrize('space', SPACES, ids=str)
def test_spaces_survive_json(space):
    moved = space.moved(tuple(1 - (k % 2) for k in range(len(space.dimensions))))
    for s in (space, moved):
        again = SearchSpace.from_json(json.loads(json.dumps(s.to_json())))
        assert again == s and hash(again) == hash(s) and again.to_json() == s.to_json()


def test_architectures_survive_json():
    rng = np.random.default_rng(5)
    space = SearchSpace(SEGMENTS.dimensions, vit.stages(SEGMENTS.names))
    for _ in range(20):
        arch = vit.architecture(space.sample(rng), image_size=32, patch=8, classes=7)
        row = json.loads(json.dumps(arch.to_json() | {'family': 'vit', 'params': 1}))
        assert vit.Architecture.from_json(row) == arch and hash(
            vit.Architecture.from_json(row)
        ) == hash(arch)
    with pytest.raises(UsageError, match='embed is unknown; did you mean embed_dim'):
        vit.Architecture.from_json(
            {'embed' if k == 'embed_dim' else k: v for k, v in arch.to_json().items()}
        )
    with pytest.raises(UsageError, match='embed_dim is missing; an architecture of this family has'):
        vit.Architecture.from_json({k: v for k, v in arch.to_json().items() if k != 'embed_dim'})


def test_per_block_values_of_all_stages_follow_each_other():
    assert per_block({'num_heads': [1, 2]}, 'num_heads') == (1, 2)
    names = {f'num_heads_{s}': (s, s + 0.5) for s in (2, 10, 1, 3, 4, 5, 6, 7, 8, 9)}
    assert per_block(names, 'num_heads') == tuple(
        itertools.chain.from_iterable((s, s + 0.5) for s in range(1, 11))
    )


def test_vit_segments():
    names = (
        'embed_dim',
        'depth_1',
        'num_heads_1',
        'mlp_ratio_1',
        'depth_2',
        'num_heads_2',
        'mlp_ratio_2',
    )
    assert (
        vit.stages(names) == ((1, 'depth_1'), (1, 'depth_2'))
        and vit.stages(VIT.names) == VIT.stages
    )
    arch = vit.architecture(
        {
            'embed_dim': 64,
            'depth_1': 1,
            'depth_2': 2,
            'num_heads_1': (1,),
            'num_heads_2': (2, 3),
            'mlp_ratio_1': (4,),
            'mlp_ratio_2': (5, 6),
        },
        image_size=32,
        classes=2,
    )
    assert (arch.depth, arch.num_heads, arch.mlp_ratio) == (3, (1, 2, 3), (4, 5, 6))


def test_eq_3_overcounts_the_real_model():
    """By exactly 572d + 4·depth·d, wherever the hidden width is whole (DESIGN.md, section 4)."""
    rng = np.random.default_rng(6)
    for _ in range(50):
        depth, heads, d, ratio, classes = (int(rng.integers(1, n)) for n in (20, 15, 800, 9, 1000))
        arch = vit.architecture(
            {'embed_dim': 2 * d, 'num_heads': (heads,) * depth, 'mlp_ratio': (ratio / 2,) * depth},
            image_size=224,
            classes=classes,
        )
        over = vit.paper_params(depth, ratio / 2, heads, 2 * d, classes) - vit.params(arch)
        assert over == 572 * 2 * d + 4 * depth * 2 * d


def test_budgets():
    class MeasuredSettings(BudgetSettings):
        """With a cost of one's own."""

        latency_ms: Float | None = None

    budget = Budget.create(MeasuredSettings(params=30e6, macs=None, latency_ms=12.3))
    assert budget.limits == (('params', 30e6), ('latency_ms', 12.3))
    assert (
        budget.excess({'params': 36_395_626, 'latency_ms': 1})
        == 'params 36,395,626 over 30,000,000'
    )
    assert budget.excess({'params': 1, 'latency_ms': 12.4}) == 'latency_ms 12.4 over 12.3'
    equal = {
        'params': 30_000_000,
        'latency_ms': 1,
    }  # an architecture may meet it (Eq. 1), a space may not (Eq. 4)
    assert (
        budget.fits(equal)
        and budget.excess(equal, strict=True) == 'params 30,000,000 not below 30,000,000'
    )
    assert budget.fits({'params': 29_999_999, 'latency_ms': 1}, strict=True)
    assert str(budget) == 'params 30M, latency_ms 12.3' and str(Budget(())) == 'no limit'
    assert [readable(v) for v in (5_867_944, 1.5e9, 999, 12_345, 0.25)] == [
        '5.868M',
        '1.5G',
        '999',
        '12.35k',
        '0.25',
    ]
    for limit in (0, -1, float('nan'), math.inf, 1e16, True, 'much'):
        with pytest.raises(UsageError, match='^budget.params=.* must be a number above 0 and at'):
            settings.read(BudgetSettings, {'params': limit}, 'budget')
    with pytest.raises(UsageError, match='^budget.flops is unknown; known: params, macs'):
        settings.read(BudgetSettings, {'flops': 1}, 'budget')
    assert settings.read(BudgetSettings, {'params': '25M', 'macs': '5G'}, 'budget') == (
        BudgetSettings(params=25e6, macs=5e9)
    )
