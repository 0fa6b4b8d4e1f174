"""Lengths that fill the hours; a run that goes on sees the numbers that it began with."""

import json

import pytest
from runs import TINY, command, run, values
from timings import TIMINGS

from s4jax import run as runs_of
from s4jax.errors import UsageError
from s4jax.planning import preset, resolve
from s4jax.runtime.signals import Signals

WORK = {
    **{f'supernet_{t}': 1000.0 for t in range(3)},
    **{f'explore_{t}': 50_000.0 for t in range(2)},
    **{'evolve': 100_000.0, 'retrain': 1200.0, 'baseline': 1200.0, 'test': 400.0},
}


def open_values(hours, **changes):
    """The folder's config with everything chosen but its lengths."""
    found = values('configs/folder.py', data__root='IMAGES', budget__params='100k', **changes)
    found['hours'] = hours
    images, device = (
        preset.Survey(1797, 10, 0, 0, 8, 1, (0.3,), (0.35,)),
        preset.Device('cpu', 1, 2),
    )
    return preset.fill(found, preset.propose(found, images, device))


def total(result, timings=TIMINGS):
    """The seconds of a run of these epochs, phase by phase, by hand."""
    supernet, alone = result['supernet']['epochs'], result['retrain']['epochs']
    step = timings.supernet[result['supernet']['execution']]
    saves = lambda images: -(-images // 64 // 500)
    seconds = 3 * (step.compiling + 1000 * supernet * step.seconds + 0.5 * saves(1000 * supernet))
    for rate in (0.0008, 0.001):  # the winner's and the hand-made model's
        seconds += 20 + 1200 * alone * rate + 0.5 * saves(1200 * alone)
    return seconds + 200_400 * 0.0001 + 4 * 10 + 60


@pytest.mark.parametrize('hours, execution', [(0.2, 'masked'), (1.0, 'sliced')])
def test_epochs_fill_the_hours_by_the_faster_execution(hours, execution):
    measured = {'timings': TIMINGS.to_json(), 'work': WORK, 'spent': 60.0}
    result = resolve.with_lengths(open_values(hours), measured)
    assert result['supernet']['execution'] == execution
    assert 0.8 * hours * 3600 < total(result) <= 0.95 * hours * 3600
    assert result['supernet']['epochs'] == result['retrain']['epochs'] < 500
    assert result['retrain']['warmup_epochs'] == round(result['retrain']['epochs'] / 20, 2)


def test_epochs_that_are_given_leave_the_rest_of_the_time():
    measured = {'timings': TIMINGS.to_json(), 'work': WORK, 'spent': 60.0}
    measured['work'] = WORK | {'retrain': 12_000.0, 'baseline': 12_000.0}
    given = open_values(0.2, retrain__epochs='10', retrain__warmup_epochs='1')
    result = resolve.with_lengths(given, measured)
    assert result['retrain']['epochs'] == '10' and result['retrain']['warmup_epochs'] == '1'
    result['retrain']['epochs'] = 10
    assert 0.8 * 720 < total(result) <= 0.95 * 720


def test_a_run_that_goes_on_has_the_config_that_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, 'timed', lambda *_: {'timings': TIMINGS.to_json(), 'work': WORK})
    start = values('configs/folder.py', data__name='digits', budget__params='100k')
    start['hours'] = 0.3
    first, measured = resolve.resolve(start, tmp_path, Signals())
    task, _ = runs_of.prepare(first, tmp_path, Signals())
    runs_of.claim(task, tmp_path, measured)
    monkeypatch.setattr(resolve, 'timed', lambda *_: pytest.fail('it measures again'))
    monkeypatch.setattr(resolve, 'survey', lambda *_: pytest.fail('it looks again'))
    monkeypatch.setattr(resolve, 'device', lambda: pytest.fail('another device may be here'))
    again, kept = resolve.resolve(start, tmp_path, Signals())
    assert again == first and kept == measured
    assert first.hours == 0.3 and first.supernet.epochs > 1
    runs_of.claim(runs_of.prepare(again, tmp_path, Signals())[0], tmp_path, kept)
    with pytest.raises(UsageError, match='hours: 0.3 there, 0.6 here'):
        other, kept = resolve.resolve(start | {'hours': 0.6}, tmp_path, Signals())
        runs_of.claim(runs_of.prepare(other, tmp_path, Signals())[0], tmp_path, kept)


@pytest.mark.slow
def test_from_a_folder_and_a_size_to_a_tested_winner(tmp_path):
    """The command as a user writes it, with a run of some steps; and once more, which measures
    nothing."""
    short = {k: v for k, v in TINY.items() if k.startswith(('explore', 'evolve', 'check'))}
    short |= {'data.name': 'digits', 'budget.params': '40k', 'hours': 0.05}
    short |= {f'{s}.epochs': 1 for s in ('supernet', 'retrain')}
    arguments = command(tmp_path / 'run', 'configs/folder.py', short)
    arguments.remove('--no-plan')
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    assert 'derived: the stock shape of vit' in done.stdout
    assert 's4jax: planned ' in done.stderr
    assert 's4jax: chosen: images of 8×8×1' in done.stderr
    assert 's4jax: plan: about' in done.stderr
    known = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert known['config']['model']['image_size'] == 8 and known['measured']['timings']
    plan = json.loads((tmp_path / 'run' / 'plan.json').read_text())
    assert {'supernet_0', 'evolve', 'test'} <= {row['name'] for row in plan['phases']}
    again = run(arguments)
    assert again.returncode == 0 and 'chosen' not in again.stderr, again.stderr
    assert again.stdout == done.stdout
