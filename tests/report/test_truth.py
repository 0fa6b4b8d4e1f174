"""The tables of a supernet held against the truth: closed forms."""

import numpy as np
import pytest

from s4jax.report import truth
from s4jax.search.explore import Slopes, Step
from s4jax.search.neighbours import Candidate
from s4jax.search.space import Dimension, SearchSpace

SPACE = SearchSpace(
    (Dimension('embed_dim', 16, 32, 8), Dimension('depth', 1, 2, 1)), ((1, 'depth'),)
)


def test_tau():
    one = np.array([1.0, 2, 3, 4])
    assert truth.tau(one, one**3) == 1 and truth.tau(one, -one) == -1
    assert truth.tau(one, np.array([1.0, 2, 4, 3])) == pytest.approx(4 / 6)  # one pair of six
    assert truth.tau(one, np.ones(4)) == 0


def test_the_ceiling_is_the_mean_over_pairs_of_repeats():
    values = np.array([[1, 1, 4.0], [2, 2, 3], [3, 3, 2], [4, 4, 1]])
    rows = np.arange(4)
    assert truth.ceiling(values)(rows) == pytest.approx((1 - 1 - 1) / 3)


def test_a_perfect_estimate_has_an_interval_without_width():
    value, low, high = truth.resampled(truth.against(np.arange(9.0), np.arange(9.0)), 9)
    assert (value, low, high) == pytest.approx((1, 1, 1))
    rng = np.random.default_rng(0)
    noise = truth.against(rng.normal(size=30), rng.normal(size=30))
    value, low, high = truth.resampled(noise, 30)
    assert low < value < high and low < 0 < high


def test_ranks(monkeypatch):
    monkeypatch.setattr(truth, 'RESAMPLED', 100)  # perfect ranks have no interval
    count = np.arange(6.0)
    alone = {'accuracy': np.stack([count, count], 1), 'likelihood': np.stack([count, -count], 1)}
    estimates = {"the supernet's accuracy": count, 'params': -count, 'macs': count}
    found = truth.ranks_table(alone, estimates)
    rows = {name: cells for name, *cells in found.rows}
    assert rows["the supernet's accuracy"][0] == '1.00 [1.00, 1.00]'
    assert rows['params'][0] == '-1.00 [-1.00, -1.00]'
    assert rows["the supernet's accuracy, less params"][0] == '2.00 [2.00, 2.00]'
    assert rows[truth.CEILING] == ['1.00 [1.00, 1.00]', '-1.00 [-1.00, -1.00]']
    assert '6 architectures' in found.text and '2 trainings alone' in found.text
    more = truth.ranks_table(alone, estimates | {"b: the supernet's accuracy": -count})
    assert "b: the supernet's accuracy, less the run" in [row[0] for row in more.rows]
    assert ['-2.00 [-2.00, -2.00]', '0.00 [0.00, 0.00]'] in [row[1:] for row in more.rows]
    single = truth.ranks_table({k: v[:, :1] for k, v in alone.items()}, estimates)
    assert truth.CEILING not in [row[0] for row in single.rows]  # one training has no ceiling


def step(mean, error, candidates):
    slopes = Slopes(SPACE.names, mean, error, 40)
    return Step(slopes, 'tau', mean, tuple(candidates), None, None, None, None)


def test_gradient():
    """Slopes are per unit: a move of 8 in embed_dim, of 1 in depth."""
    legal = [Candidate((1, 0), {}, 0.6, None), Candidate((0, 1), {}, 0.8, None)]
    over = Candidate((1, 1), None, 0.99, 'params over')
    ours = step((0.001, 0.01), (0.0001, 0.001), [*legal, over])
    alone = Slopes(SPACE.names, (0.002, -0.01), (0.0001, 0.02), 6)
    found = truth.gradient_table(SPACE, ours, alone)
    assert found.rows[0] == ['embed_dim', '+0.80 ± 0.08', '+1.60 ± 0.08', 'yes']
    assert found.rows[1] == ['depth', '+1.00 ± 0.10', '-1.00 ± 2.00', 'no, within the noise']
    # cos((.8, 1), (1.6, -1)) = .28 / (1.2806 · 1.8868)
    assert 'Cosine of the two: 0.12 [' in found.text
    assert 'Of 1 true slopes that differ from 0, the supernet has the sign of 1.' in found.text
    # the explorer takes (0, 1), whose true cosine is -1 / 1.8868; (1, 0) is truly better
    assert 'a cosine of -0.53 and is number 2 of 2 legal moves' in found.text
    none = truth.gradient_table(SPACE, step((0.0, 0.0), (0.0, 0.0), [over]), alone)
    assert 'No neighbour is legal' in none.text


def test_spaces():
    here, better = np.full(20, 0.9), np.full(20, 0.95)
    here[0], better[0] = 0.91, 0.96
    noisy = np.linspace(0.5, 1.2, 20)
    moves = [Candidate((1, -1), {}, 0.7, None), Candidate((0, 1), {}, -0.2, None)]
    found = truth.spaces_table(SPACE, [(None, here), (moves[0], better), (moves[1], noisy)])
    first, second, third = found.rows
    assert first[0] == 'the space itself' and first[2].startswith('90.05% ± ')
    assert second[0] == 'embed_dim +1, depth −1 (chosen)' and second[3].startswith('+5.00 [+4.')
    assert 'noise' not in second[3] and third[3].endswith('within the noise')
    assert '20 architectures' in found.text
