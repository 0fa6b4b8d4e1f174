"""The plan's door: a table or JSON, mistakes in a line, nothing written."""

import json

import pytest
from runs import ROOT, config

from s4jax import plan
from s4jax.planning import announce
from s4jax.planning.forecast import Phase
from s4jax.planning.timing import Timed, Timings
from s4jax.runtime import cache

DIGITS = f'--config={ROOT / "configs" / "digits.py"}'
TIMED = Timed(0.001, 5.0, 10**8, 1, 0.1, 10**5)


@pytest.fixture
def timed(monkeypatch):
    timings = Timings({'masked': TIMED}, TIMED, TIMED, TIMED)
    monkeypatch.setattr(announce, 'measure', lambda *_: timings)
    monkeypatch.setattr(cache, 'use_cache', lambda: None)


def test_a_table_and_the_same_as_json(timed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert plan.main([DIGITS, '--config.supernet.epochs=10']) == 0
    text = capsys.readouterr().out
    assert text.startswith('first space  depth 2..4') and 'explore_2' in text
    assert plan.main([DIGITS, '--config.supernet.epochs=10', '--json']) == 0
    row = json.loads(capsys.readouterr().out)
    assert row['config']['supernet']['epochs'] == 10
    steps = {one['name']: one['steps'] for one in row['phases']}
    assert steps['supernet_0'] == config(supernet__epochs=10).supernet.steps(997)
    assert set(row['phases'][0]) == set(Phase.__dataclass_fields__)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'arguments, words',
    [
        ([], '--config is missing'),
        ([DIGITS, '--jso'], '--jso is unknown; did you mean --json?'),
        ([DIGITS, '--config.evolve.populaton=3'], 'did you mean population?'),
        ([DIGITS, '--config.budget.params=1k'], 'no space within the floors fits'),
        ([f'--config={ROOT}/configs/folder.py'], "root='' is missing where name='folder'"),
    ],
)
def test_mistakes_are_one_line(arguments, words, timed, capsys):
    assert plan.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.startswith('s4jax: ') and error.count('\n') == 1
