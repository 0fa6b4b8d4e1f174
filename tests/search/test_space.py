"""Search spaces against plain arithmetic: Eq. 2's neighbours, draws cut and laid out by stage."""

import itertools
import json

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.search.space import Dimension, SearchSpace, per_block

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


@pytest.mark.parametrize(
    'names, stages, message',
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
def test_dimensions_that_do_not_match_the_stages_are_refused(names, stages, message):
    with pytest.raises(UsageError, match=message):
        SearchSpace(
            tuple(Dimension(n, 2, 4, 1, per_block=n.startswith('num_heads')) for n in names), stages
        )


@pytest.mark.parametrize('lower, step, per_block', [(2, 0.5, False), (1.5, 1, False), (2, 1, True)])
def test_a_depth_is_a_whole_number_for_all_blocks(lower, step, per_block):
    with pytest.raises(UsageError, match=r'space\.depth gives a number of blocks'):
        SearchSpace(
            (Dimension('depth', lower, lower + 2, step, per_block=per_block),), ((1, 'depth'),)
        )


@pytest.mark.parametrize('space', SPACES, ids=str)
def test_neighbours_are_mutual_and_all_of_eq_2(space):
    names = [d.name for d in space.dimensions]
    listed = list(space.directions())
    assert len(set(listed)) == 3 ** len(names) - 1 and listed == sorted(listed)
    neighbours = set()
    for gamma in listed:
        if space.obstacle(gamma):
            continue
        moved = space.moved(gamma)
        for before, after, g in zip(space.dimensions, moved.dimensions, gamma):
            shifts = (after.lower - before.lower, after.upper - before.upper)
            assert shifts == (g * before.tau, g * before.tau)
        back = tuple(-g for g in gamma)
        assert moved.obstacle(back) is None and moved.moved(back) == space
        neighbours.add(moved)
    assert space not in neighbours
    assert len(neighbours) == sum(not space.obstacle(gamma) for gamma in listed)


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
        deviation = np.abs(counts / counts.sum() - 1 / len(values))
        assert np.all(deviation < 5 / np.sqrt(counts.sum())), d.name


def names(stage, blocks):
    return [f'{stage}{i}' for i in range(blocks)]


def test_a_cut_keeps_the_first_blocks_of_every_stage():
    """With every block's value naming its stage and place, what is left shows what was cut."""
    drawn = {
        'embed_dim': 36,
        'depth': 3,
        'mlp_ratio': ('a0', 'a1', *names('b', 5), *names('c', 15), 'd0'),
    }
    assert SHUNTED.full_layout == (2, 5, 15, 1)
    expected = ('a0', 'a1', 'b0', 'b1', 'b2', *names('c', 9), 'd0')
    assert SHUNTED.cut(drawn)['mlp_ratio'] == expected
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
def test_spaces_come_back_from_their_json(space):
    moved = space.moved(tuple(1 - (k % 2) for k in range(len(space.dimensions))))
    for s in (space, moved):
        again = SearchSpace.from_json(json.loads(json.dumps(s.to_json())))
        assert again == s and hash(again) == hash(s) and again.to_json() == s.to_json()


def test_per_block_values_of_all_stages_follow_each_other():
    assert per_block({'num_heads': [1, 2]}, 'num_heads') == (1, 2)
    given = {f'num_heads_{s}': (s, s + 0.5) for s in (2, 10, 1, 3, 4, 5, 6, 7, 8, 9)}
    assert per_block(given, 'num_heads') == tuple(
        itertools.chain.from_iterable((s, s + 0.5) for s in range(1, 11))
    )
