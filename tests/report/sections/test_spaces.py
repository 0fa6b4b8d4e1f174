"""The moves of the space in words."""

import dataclasses
import re

import numpy as np
import pytest

from s4jax.report.reading import read
from s4jax.report.sections.spaces import helped, interval, move, spaces, steps
from s4jax.search.explore import Visited
from s4jax.search.space import Dimension, SearchSpace

SPACE = SearchSpace((Dimension('embed_dim', 16, 32, 8, tau=16), Dimension('depth', 3, 3, 1)), ())


@pytest.mark.parametrize(
    't, gamma, text',
    [
        (0, (0, 0), 'as given'),
        (
            0,
            (-1, 0),
            'moved before training, to fit the budget: embed_dim −1 step (−16), now 16–32',
        ),
        (1, (2, 0), 'embed_dim +2 steps (+32), now 16–32'),
        (1, (1, -1), 'embed_dim +1 step (+16), now 16–32; depth −1 step (−1), now 3'),
    ],
)
def test_a_move_in_words(parsed, t, gamma, text):
    assert str(parsed(move(t, Visited(SPACE, {}, gamma)))) == text


def test_intervals_and_steps():
    assert [interval(d) for d in SPACE.dimensions] == ['16–32', '3']
    assert steps(-3, Dimension('mlp_ratio', 2.0, 4.0, 0.5)) == '−3 steps (−1.5)'


def test_a_row_for_each_space(workdir, parsed):
    run = read(workdir)
    words = str(parsed(spaces(run)))
    assert 'The search made 2 moves' in words and 'diamonds' in words
    for visited in run.trajectory[1:]:
        assert f'{visited.cosine:.3f}' in words
    one = dataclasses.replace(run, trajectory=run.trajectory[:1], result=None, evolution=None)
    words = str(parsed(spaces(one)))
    assert 'The search made 0 moves' in words and 'diamonds' not in words
    assert spaces(dataclasses.replace(one, trajectory=())) == ''


def test_whether_moving_helped(workdir, parsed):
    run = read(workdir)
    first, last = run.scores[0], run.scores[-1]
    words = str(parsed(spaces(run)))
    points = 100 * (np.mean(last.accuracies) - np.mean(first.accuracies))
    assert (
        f'the mean became {abs(points):.2f} points {"higher" if points > 0 else "lower"}' in words
    )
    assert 'In A₂ no slopes were measured' in words
    for scores in run.scores:
        assert f'{np.mean(scores.accuracies):.2%}{np.max(scores.accuracies):.2%}' in words
    assert 'Only one space' in helped(run.scores[:1])
    assert 'no slopes' not in helped(run.scores[:2])


def test_without_a_gradient_there_are_neither_terms_nor_reasons(workdir, parsed):
    run = dataclasses.replace(read(workdir), steps=(), scores=())
    words = str(parsed(spaces(run)))
    assert 'How the space moved' in words and 'legal' not in words and 'supernet' not in words


def test_every_term_is_explained_before_it_is_used(workdir):
    text = (workdir / 'report.html').read_text()
    body = re.sub('<title>.*?</title>', '', text[text.index('<body>') :], flags=re.DOTALL)
    for term in ('search space', 'neighbour', 'τ', 'legal', 'cosine', 'supernet'):
        first = re.search(rf'(?<![\w/]){term}', re.sub('<svg.*?</svg>', '', body, flags=re.DOTALL))
        assert first.string[: first.start()].endswith('<dfn>'), first.string[first.start() - 80 :][
            :120
        ]
