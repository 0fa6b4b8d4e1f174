"""The tables of a comparison, from outcomes whose means, intervals and tests are known."""

import csv
import io

import pytest

from s4jax.report.comparison import files
from s4jax.report.comparison.outcome import Outcome
from s4jax.report.comparison.tables import LABELS, Comparison
from s4jax.report.result import Model, Result, Spent
from s4jax.report.statistics import mcnemar, mean_interval
from s4jax.search.budget import Budget
from s4jax.search.explore import Visited
from s4jax.search.space import Dimension, SearchSpace

IMAGES = 200
SPACE = SearchSpace(
    (Dimension('depth', 1, 3, 1), Dimension('embed_dim', 16, 32, 8)), ((1, 'depth'),)
)


def model(params, wrong):
    return Model({'depth': 2}, {'params': params, 'macs': 9 * params}, IMAGES - wrong, IMAGES)


def outcome(method, seed, params, wrong, backtracks=None, spaces=None, moves=2, data='cifar10'):
    evolved = method not in ('stock', 'largest')
    visited = Visited(SPACE, {'params': 100.0}, (0, 0))
    result = Result(
        family='vit',
        data={'name': data},
        budget=Budget((('params', 1000.0),)),
        seed=seed,
        encoder=None,
        trajectory=(visited,) * (moves + 1 if evolved else 1),
        winner=model(params, len(wrong)),
        baseline=model(900, 20),
        search_accuracy=0.5 if evolved else None,
        choices={},
        references={},
        evolution='2 generations' if evolved else None,
        method=method,
        backtracks=backtracks,
        spaces={f'space {t}': model(*m) for t, m in (spaces or {}).items()},
        spent=Spent(4000, 0.25, 8000, 0.5) if evolved else Spent(0, 0.0, 0, 0.0),
    )
    return Outcome(method, seed, result, frozenset(wrong), {'supernet_0': 10.0, 'retrain': 2.0})


@pytest.fixture
def comparison():
    found = []
    for seed, (s4, s3, stock) in enumerate([(10, 14, 20), (12, 12, 22), (11, 16, 18)]):
        found.append(
            outcome('s4', seed, 800 + seed, range(s4), spaces={0: (700, 20), 1: (750, 15)})
        )
        found.append(outcome('s3', seed, 900, range(2, 2 + s3), backtracks=seed))
        found.append(outcome('stock', seed, 950, range(stock)))
    return Comparison(found, ['s4', 's3', 'stock', 'random'])


def table(comparison, title):
    (found,) = [t for t in comparison.tables() if t.title.startswith(title)]
    return {tuple(row[:1]) if title != 'Accuracy' else tuple(row[:2]): row for row in found.rows}


def test_means_intervals_and_the_papers_numbers(comparison):
    rows = table(comparison, 'Methods')
    # 95, 94 and 94.5: standard deviation 0.5, t(0.975, 2) = 4.302653
    assert rows['S4',][1:] == ['3', '2.0', '–', '801 (800–802)', '94.50 ± 1.24', '94.32 (25M)']
    assert rows['S3',][3] == '0/1/2' and rows['S3',][-1] == '94.23 (29M)'
    assert rows['hand-made',][2:4] == ['–', '–']
    assert ('random',) not in rows  # nothing of it is finished


def test_differences_are_paired_by_seed_and_image(comparison):
    rows = table(comparison, 'Differences')
    row = rows['S4 − S3',]
    # points 2, 0, 2.5; S4 alone fails on images 0 and 1 of each seed
    assert row[2] == '+1.50 ± 3.29' and row[-1] == 'within the noise'
    assert row[3] == '2' and row[5] == f'{14 + 2 - 10 + 12 + 2 - 12 + 16 + 2 - 11} : 6'
    assert float(row[6]) == pytest.approx(mcnemar(15, 6), rel=1e-2)
    stock = rows['S4 − hand-made',]
    assert stock[5] == '27 : 0' and stock[-1] == 'better'


def test_accuracy_by_iteration_has_the_winner_as_the_last(comparison):
    rows = table(comparison, 'Accuracy')
    assert [key for key in rows] == [('S4', '0'), ('S4', '1'), ('S4', '2')]
    assert rows['S4', '1'][-1] == '92.50 ± 0.00' and rows['S4', '2'][-1] == '94.50 ± 1.24'


def test_the_papers_tables_5_and_6_stand_where_their_methods_were_run(comparison):
    assert list(table(comparison, 'S3 and S4 within')) == [('hand-made',), ('S3',), ('S4',)]
    titles = [t.title for t in comparison.tables()]
    assert not any('Table 6' in title for title in titles)


def test_the_cost_has_the_shares_over_the_budget(comparison):
    rows = table(comparison, 'Cost')
    assert rows['S4',] == ['S4', '4k', '25%', '8k', '50%', '10', '2']
    assert rows['hand-made',][1:5] == ['0', '0%', '0', '0%']


def test_the_files_hold_every_run(comparison, tmp_path):
    text = files.write(comparison, tmp_path, 'python -m s4jax.compare')
    assert text == (tmp_path / 'comparison.md').read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / 'comparison.csv').read_text())))
    assert len(rows) == 9 + 6
    assert {row['method'] for row in rows} == {'s4', 's3', 'stock'}
    html = (tmp_path / 'comparison.html').read_text()
    for name in ('S4', 'S3', 'hand-made'):
        assert f'<td>{name}</td>' in html
    assert '<script' not in html and 'http' not in html


def test_one_seed_has_no_interval():
    alone = Comparison(
        [outcome('s4', 0, 800, range(10)), outcome('stock', 0, 900, range(20))], ['s4', 'stock']
    )
    assert table(alone, 'Methods')['S4',][5] == '95.00'
    assert table(alone, 'Differences')['S4 − hand-made',][-1] == 'one seed: no interval'


def test_all_methods_have_a_label():
    import typing

    from s4jax.search.methods import Method

    assert set(LABELS) == set(typing.get_args(Method))


def test_intervals_beside_published_quantiles():
    """t(0.975) is 12.706 with 1 degree of freedom and 2.776 with 4 (any table of Student's t)."""
    mean, half = mean_interval([1.0, 3.0])
    assert mean == 2 and half == pytest.approx(12.706, abs=1e-3)
    mean, half = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3 and half == pytest.approx(2.7764 * (2.5 / 5) ** 0.5, abs=1e-3)
    assert mean_interval([4.0]) == (4.0, None)


def test_mcnemar_is_the_binomial_tail():
    """5 of 6 in one direction: 2 (6 + 1) / 64; equal counts: 1."""
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert mcnemar(3, 3) == 1 and mcnemar(0, 0) == 1
