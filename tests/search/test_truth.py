"""What of a space is trained alone: samples, neighbours, a model around several spaces."""

import numpy as np
import pytest

from s4jax.search import truth
from s4jax.search.neighbours import Candidate, best
from s4jax.search.space import Dimension, SearchSpace

SPACE = SearchSpace(
    (
        Dimension('embed_dim', 16, 32, 8),
        Dimension('depth', 1, 2, 1),
        Dimension('num_heads', 1, 2, 1, per_block=True),
    ),
    ((1, 'depth'),),
)


def test_a_sample_has_no_choices_twice_and_ends_where_the_space_does():
    rng = np.random.default_rng(0)
    drawn = truth.sample(SPACE, rng, 10)
    assert len({repr(choices) for choices in drawn}) == 10
    everything = truth.sample(SPACE, rng, 1000)
    assert len({repr(choices) for choices in everything}) == len(everything) == 3 * (2 + 4)


def candidates(*rows):
    return [Candidate((k, 0, 1), None, cosine, rejected) for k, (cosine, rejected) in
            enumerate(rows)]  # fmt: skip


@pytest.mark.parametrize(
    'count, cosines', [(0, []), (1, [0.9]), (2, [0.9, -0.8]), (3, [0.9, 0.5, -0.8])]
)
def test_neighbours_from_the_chosen_one_to_the_worst(count, cosines):
    found = candidates(
        (0.1, None), (0.99, 'over'), (0.9, None), (-0.8, None), (0.5, None), (-0.9, 'over')
    )
    moves = truth.neighbours(found, count)
    assert [move.cosine for move in moves] == cosines
    assert not moves or moves[0] == best(found)


def test_all_legal_neighbours_where_more_are_wanted():
    found = candidates((0.1, None), (0.9, None), (0.2, 'over'))
    assert [move.cosine for move in truth.neighbours(found, 9)] == [0.9, 0.1]
    assert truth.neighbours(candidates((0.2, 'over')), 3) == []


def test_a_model_around_several_spaces_is_as_large_as_each():
    wide, deep = SPACE.moved((1, 0, 0)), SPACE.moved((-1, 1, 1))
    around = truth.enclosing([SPACE, wide, deep])
    assert around == dict(embed_dim=40, depth=3, num_heads=(3, 3, 3))
    for space in (SPACE, wide, deep):
        largest = space.largest()
        assert largest['embed_dim'] <= 40 and largest['depth'] <= 3
        assert max(largest['num_heads']) <= 3
