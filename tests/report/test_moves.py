"""The sentence of a move: its numbers are those of the candidates."""

import dataclasses

import pytest

from s4jax.report.moves import phrase, sentence
from s4jax.report.reading import read
from s4jax.search.budget import Budget, readable
from s4jax.search.explore import Slopes, Step
from s4jax.search.neighbours import candidates
from s4jax.search.space import Dimension, SearchSpace

BUDGET = Budget((('params', 60e3),))
SPACE = SearchSpace(
    (Dimension('embed_dim', 16, 32, 8), Dimension('depth', 2, 4, 1)), ((1, 'depth'),)
)


def size(space):
    """Width times depth, so that 32 × 4 are 51,200 and 40 × 4 are 64,000."""
    width, depth = (d.upper for d in space.dimensions)
    return {'params': 400 * width * depth}


def found(z, gamma, space=SPACE, budget=BUDGET, keep=None, stopped=None):
    listed = candidates(space, budget, size, z)
    chosen = next((c for c in listed if c.gamma == gamma), None)
    return Step(
        slopes=Slopes(space.names, z, (0.0,) * len(z), 3),
        units='tau',
        z=z,
        candidates=tuple(c for c in listed if keep is None or c.gamma in keep),
        gamma=gamma,
        cosine=chosen and chosen.cosine,
        space=gamma and space.moved(gamma),
        stopped=stopped,
    )


def test_what_is_too_large_alone_is_paid_for():
    assert sentence(found((3.0, 1.0), (1, -1)), SPACE, BUDGET) == (
        'Wider (embed_dim +8) alone would be 64k of 60k params; one block less (depth −1) pays for '
        'it, at 48k of 60k params: of the 5 legal neighbours, this trade is the closest to the '
        'gradient (cosine 0.45).'
    )
    text = sentence(found((3.0, -1.0), (1, -1)), SPACE, BUDGET)
    assert 'one block less (depth −1) pays for it and follows the gradient, too, at 48k' in text


def test_a_move_that_fits_as_it_is():
    assert sentence(found((-1.0, -1.0), (-1, -1)), SPACE, BUDGET) == (
        'Narrower (embed_dim −8) and one block less (depth −1) follows the gradient more closely '
        'than every other neighbour (cosine 1.00), and fits: 28.8k of 60k params.'
    )


def test_a_closer_neighbour_that_is_not_legal():
    floor = dataclasses.replace(SPACE.dimensions[1], floor=2)
    space = SearchSpace((SPACE.dimensions[0], floor), SPACE.stages)
    text = sentence(found((-1.0, -1.0), (-1, 0), space), space, BUDGET)
    assert text == (
        'Narrower (embed_dim −8) and one block less (depth −1) would be closer to the gradient '
        '(cosine 1.00), but depth would fall below its floor 2; narrower (embed_dim −8) is the '
        'closest of the 2 legal neighbours (cosine 0.71): 38.4k of 60k params.'
    )


def test_a_forced_move_says_so():
    text = sentence(found((1.0, 1.0), (0, -1)), SPACE, Budget((('params', 40e3),)))
    assert text.endswith('the space before it did not fit, and had to move.')


def test_of_a_space_too_large_to_list_only_two_neighbours_are_known():
    text = sentence(found((3.0, 1.0), (1, -1), keep=[(1, 0), (1, -1)]), SPACE, BUDGET)
    assert 'of all legal neighbours' in text
    text = sentence(found((3.0, 1.0), (-1, 1), keep=[(1, 1), (-1, 1)]), SPACE, BUDGET)
    assert text.startswith('Wider (embed_dim +8) and one block more (depth +1) would be closer')


@pytest.mark.parametrize(
    'z, limit, words',
    [
        ((1.0, 1.0), 1e3, 'none of the 8 neighbours is legal. The largest model of 8 would be'),
        ((0.0, 0.0), 60e3, 'accuracy did not change along any dimension'),
        (
            (3.0, 2.0),
            40e3,
            'goes against the gradient (cosine −0.55); wider (embed_dim +8) and one block more '
            '(depth +1) would follow it (cosine 0.98), but its largest model would be 80k of 40k',
        ),
    ],
)
def test_why_a_space_stayed(z, limit, words):
    budget = Budget((('params', limit),))
    step = found(z, None, budget=budget, stopped='.')
    text = sentence(step, SPACE, budget)
    assert text.startswith('It stayed: ') and words in text, text
    assert sentence(found(z, None, budget=Budget((('params', 1e3),)), keep=[(1, 1)]), SPACE, budget)


def test_a_cost_that_reads_like_the_limit_is_written_in_full():
    text = sentence(found((-1.0, 1.0), (-1, 1)), SPACE, Budget((('params', 48_001.0),)))
    assert '48,000 of 48k params' in text


def test_moves_in_words():
    names = ('num_heads', 'mlp_ratio_2', 'window', 'depth')
    dimensions = tuple(Dimension(name, 4, 8, 1, tau=2) for name in names)
    space = SearchSpace(dimensions, ((1, 'depth'),))
    assert phrase((1, -1, 1, 1), space) == (
        'more heads (num_heads +2), smaller MLPs (mlp_ratio_2 −2), window +2 and two blocks more '
        '(depth +2)'
    )


def test_the_sentences_of_a_run_have_the_numbers_of_its_candidates(workdir, words):
    run = read(workdir)
    assert run.steps
    for step, space in zip(run.steps, run.spaces):
        text = sentence(step, space, run.budget)
        assert text in words
        chosen = next(c for c in step.candidates if c.gamma == step.gamma)
        assert readable(chosen.costs['params']) in text or f'{chosen.costs["params"]:,}' in text
        assert f'{chosen.cosine:.2f}' in text
