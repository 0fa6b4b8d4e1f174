"""Plans: sums of what was timed; a run that goes on sees the numbers that it began with."""

import json

import pytest
from runs import TINY, command, config, run, values

from s4jax import forecast as module
from s4jax import planning, preset, timing
from s4jax import run as runs_of
from s4jax.errors import UsageError
from s4jax.forecast import compared, forecast, phase, table
from s4jax.report.timing import read_timing
from s4jax.runtime.files import write_json
from s4jax.runtime.signals import Signals
from s4jax.timing import Timed, Timings

MASKED = Timed(0.002, 30.0, 10**9, 1, 0.5, 10**6)
SLICED = Timed(0.001, 300.0, 10**9, 3, 0.5, 10**6)
TIMINGS = Timings(
    {'masked': MASKED, 'sliced': SLICED},
    Timed(0.0001, 10.0, 10**8),
    Timed(0.001, 20.0, 10**9, 1, 0.5, 10**6),
)
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
    seconds += 2 * (20 + 1200 * alone * 0.001 + 0.5 * saves(1200 * alone))
    return seconds + 200_400 * 0.0001 + 4 * 10 + 60


@pytest.mark.parametrize('hours, execution', [(0.2, 'masked'), (1.0, 'sliced')])
def test_epochs_fill_the_hours_by_the_faster_execution(hours, execution):
    measured = {'timings': TIMINGS.to_json(), 'work': WORK, 'spent': 60.0}
    result = planning.with_lengths(open_values(hours), measured)
    assert result['supernet']['execution'] == execution
    assert 0.8 * hours * 3600 < total(result) <= 0.95 * hours * 3600
    assert result['supernet']['epochs'] == result['retrain']['epochs'] < 500
    assert result['retrain']['warmup_epochs'] == round(result['retrain']['epochs'] / 20, 2)


def test_epochs_that_are_given_leave_the_rest_of_the_time():
    measured = {'timings': TIMINGS.to_json(), 'work': WORK, 'spent': 60.0}
    measured['work'] = WORK | {'retrain': 12_000.0, 'baseline': 12_000.0}
    given = open_values(0.2, retrain__epochs='10', retrain__warmup_epochs='1')
    result = planning.with_lengths(given, measured)
    assert result['retrain']['epochs'] == '10' and result['retrain']['warmup_epochs'] == '1'
    result['retrain']['epochs'] = 10
    assert 0.8 * 720 < total(result) <= 0.95 * 720


def test_a_run_that_goes_on_has_the_config_that_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, 'timed', lambda *_: {'timings': TIMINGS.to_json(), 'work': WORK})
    start = values('configs/folder.py', data__name='digits', budget__params='100k')
    start['hours'] = 0.3
    first, measured = planning.resolve(start, tmp_path, Signals())
    task, _ = runs_of.prepare(first, tmp_path, Signals())
    runs_of.claim(task, tmp_path, measured)
    monkeypatch.setattr(planning, 'timed', lambda *_: pytest.fail('it measures again'))
    monkeypatch.setattr(planning, 'survey', lambda *_: pytest.fail('it looks again'))
    monkeypatch.setattr(planning, 'device', lambda: pytest.fail('another device may be here'))
    again, kept = planning.resolve(start, tmp_path, Signals())
    assert again == first and kept == measured
    assert first.hours == 0.3 and first.supernet.epochs > 1
    runs_of.claim(runs_of.prepare(again, tmp_path, Signals())[0], tmp_path, kept)
    with pytest.raises(UsageError, match='hours: 0.3 there, 0.6 here'):
        other, kept = planning.resolve(start | {'hours': 0.6}, tmp_path, Signals())
        runs_of.claim(runs_of.prepare(other, tmp_path, Signals())[0], tmp_path, kept)


def test_a_phase_takes_its_images_its_compilation_and_its_checkpoints():
    found = phase('supernet_0', 6400.0, MASKED, 64, 30)
    assert found.steps == 100 and found.seconds == pytest.approx(12.8 + 30 + 4 * 0.5)
    assert found.disk == 3 * 10**6 and found.memory == 10**9
    scored = phase('explore_0', 6400.0, TIMINGS.subnets, None, 30)
    assert scored.steps is None and scored.seconds == pytest.approx(10.64) and scored.disk == 0


def test_a_forecast_is_the_sum_of_its_phases_and_knows_its_space(tmp_path):
    task, session = runs_of.prepare(config(), tmp_path / 'run', Signals())
    found = forecast(task, task.space, TIMINGS, 'masked')
    assert [one.name for one in found.phases][:3] == ['supernet_0', 'explore_0', 'supernet_1']
    assert {one.name: one.images for one in found.phases} == session.progress.plan
    assert found.seconds == pytest.approx(module.START + sum(o.seconds for o in found.phases))
    costs = found.space['costs']['params']
    assert (costs['smallest'], costs['largest']) == (6938, 55_786)
    assert costs['smallest'] < costs['median'] < costs['largest']
    assert found.space['fitting'] == 1.0
    text = '\n'.join(table(found))
    assert 'supernet_3' in text and '55.79k' in text and 'total' in text
    assert (
        json.loads(json.dumps(found.to_json()))['total']['disk'] == 6 * 3 * 10**6
    )  # six trainings keep three


def test_what_does_not_fit_has_its_advice(tmp_path, monkeypatch):
    task, _ = runs_of.prepare(config(budget__params=12e3, hours=0.05), tmp_path, Signals())
    monkeypatch.setattr(module, 'available', lambda: 2 * 10**7)
    lines = forecast(task, task.space, TIMINGS, 'masked').advice
    assert 'supernet_0 needs 1,000 MB of memory, the device has 20 MB' in lines[0]
    assert 'lower config.supernet.batch_size' in lines[0]
    assert 'more than config.hours=0.05: lower config.supernet.epochs' in lines[1]
    assert len(lines) == 2 or 'of the architectures fit the budget' in lines[2]


def test_the_plan_beside_what_came_true(tmp_path):
    assert compared(tmp_path) == 's4jax: no plan was made'
    rows = [{'name': 'supernet_0', 'seconds': 60.0}, {'name': 'evolve', 'seconds': 9.0}]
    write_json(tmp_path / 'plan.json', {'phases': rows, 'total': {'memory': 3 * 10**8}})
    lines = [{'phase': 'supernet_0', 'seconds': 50.0}, {'phase': 'supernet_0', 'seconds': 16.0}]
    path = tmp_path / 'timing.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    assert read_timing(path).seconds == {'supernet_0': 66.0}
    text = compared(tmp_path)
    assert '1 min 00 s for these phases, took 1 min 06 s' in text and '300 MB planned' in text
    assert 'evolve' not in text


@pytest.mark.slow
def test_steps_are_really_timed(tmp_path):
    """Both executions; memory against what the arrays of a step need at the very least."""
    task, session = runs_of.prepare(config(), tmp_path, Signals())
    found = timing.measure(task, session, task.space, ('masked', 'sliced'))
    assert Timings.from_json(found.to_json()) == found
    for timed in (*found.supernet.values(), found.alone):
        assert 0 < timed.seconds < 1 and timed.compiling > 0 and timed.saving > 0
        assert timed.memory > 3 * 4 * 55_786 and timed.disk > 1000  # parameters and two moments
    assert found.supernet['masked'].programs == 1 and found.supernet['sliced'].programs == 3
    assert found.subnets.seconds > 0 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_from_a_folder_and_a_size_to_a_tested_winner(tmp_path):
    """The command as a user writes it, with a run of some steps; and once more, which measures
    nothing."""
    short = {k: v for k, v in TINY.items() if k.startswith(('explore', 'evolve', 'check'))}
    short |= {'data.name': 'digits', 'budget.params': '40k', 'hours': 0.05}
    short |= {f'{s}.epochs': 1 for s in ('supernet', 'retrain')}
    arguments = command(tmp_path / 'run', 'configs/folder.py', short)
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
