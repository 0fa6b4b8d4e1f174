"""What is drawn into the panels."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from s4jax.report import plots
from s4jax.report.reading import Curve, read
from s4jax.search.space import Dimension


@pytest.fixture
def axes():
    return Figure().add_subplot()


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_range_has_a_dot_for_each_choice_and_the_values_of_the_winner(axes):
    first = Dimension('embed_dim', 16, 32, 8)
    plots.draw_range(axes, [first, first.moved(1)], (40, 24, 40))
    bar, dots, next_bar, next_dots, winner = (line.get_xydata().tolist() for line in axes.lines)
    assert bar == [[0, 16], [0, 32]] and dots == [[0, 16], [0, 24], [0, 32]]
    assert next_bar == [[1, 24], [1, 40]] and next_dots == [[1, 24], [1, 32], [1, 40]]
    assert [value for _, value in winner] == [24, 40]
    assert [text.get_text() for text in axes.get_xticklabels()] == ['A₀', 'A₁', 'winner']


def test_sizes_against_the_budget_where_they_are_known(axes):
    plots.draw_sizes(axes, 'params', [None, 55_786, 59_538], 60_000)
    assert [bar.get_height() for bar in axes.patches] == [55_786, 59_538]
    assert texts(axes) == ['55.79k', '59.54k', 'budget 60k']
    assert axes.get_ylabel() == 'parameters'
    assert axes.get_ylim()[1] > 60_000


def test_slopes_with_the_move(axes):
    mean, error = np.array([0.01, -0.02]), np.array([0.001, 0.002])
    names = ('depth', 'embed_dim')
    found = plots.Gradient(names, mean, error, (-1, 0), 'step')
    plots.draw_slopes(axes, found, (-0.03, 0.03))
    assert texts(axes) == ['−1', '0', 'move']
    assert axes.get_xlabel() == 'accuracy points per step' and axes.get_xlim() == (-0.03, 0.03)
    assert [text.get_text() for text in axes.get_yticklabels()] == list(names)
    assert [plots.points(v) for v in (0.0125, 0, -0.02)] == ['+1.25', '0', '−2']


def test_no_move_is_drawn_where_the_search_stopped(axes):
    found = plots.Gradient(('depth',), np.zeros(1), np.zeros(1), None, 'unit')
    plots.draw_slopes(axes, found, (-1, 1))
    assert texts(axes) == []


def test_an_outlier_does_not_flatten_the_losses(axes):
    losses = np.linspace(2, 1, 2000)
    losses[1000] = 1e6
    plots.draw_losses(axes, {'winner': Curve(np.arange(2000), losses)}, ['black'])
    assert axes.get_ylim()[1] < 1e5
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['winner']


@pytest.mark.parametrize('limit', [60e3, None])
def test_the_population_with_its_winner(axes, workdir, limit):
    evolution = read(workdir).evolution
    plots.draw_population(axes, 'params', evolution, limit)
    drawn = axes.collections[0].get_offsets()
    assert drawn.tolist() == [[m.costs['params'], m.accuracy] for m in evolution.members]
    star = [evolution.best.costs['params'], evolution.best.accuracy]
    assert axes.lines[0].get_xydata().tolist() == [star]
    assert texts(axes) == (['budget 60k'] if limit else [])


def test_accuracies_with_their_intervals(axes):
    rows = [plots.Tested('winner', 0.97, (0.94, 0.98), 'red')]
    plots.draw_accuracies(axes, rows)
    interval, point = (line.get_xydata().tolist() for line in axes.lines)
    assert interval == [[0.94, 0], [0.98, 0]] and point == [[0.97, 0]]
    assert texts(axes) == ['winner']


def test_scores_of_each_space_with_their_mean(axes):
    plots.draw_scores(axes, [np.array([0.25, 0.75]), np.array([0.5])])
    dots, mean, next_dots, next_mean = (line.get_xydata() for line in axes.lines)
    assert dots[:, 1].tolist() == [0.25, 0.75] and mean[:, 1].tolist() == [0.5, 0.5]
    assert next_dots[:, 1].tolist() == [0.5] and next_mean[:, 1].tolist() == [0.5, 0.5]
    assert np.all(np.abs(dots[:, 0]) <= 0.25) and np.all(np.abs(next_dots[:, 0] - 1) <= 0.25)
