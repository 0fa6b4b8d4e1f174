"""A forecast is the sum of what was timed, and is compared with what came true."""

import json

import pytest
from runs import config
from timings import MASKED, TIMINGS

from s4jax import run as runs_of
from s4jax.planning import forecast as module
from s4jax.planning.forecast import compared, forecast, phase, table
from s4jax.report.timing import read_timing
from s4jax.runtime.files import write_json
from s4jax.runtime.signals import Signals


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
