"""The same code on 1 device, on 8, and in 4 processes with 2 devices each."""

import json
import os

import numpy as np
import pytest
from runs import LESS_CARE, command, interrupted, run

SHORT = {
    'explore__iterations': 0,
    'evolve__generations': 1,
    'space__depth__upper': 1,
    'baseline__depth': 1,
}


def losses(workdir, stage='supernet_0'):
    return np.array(
        [
            json.loads(line)['loss']
            for line in (workdir / 'metrics' / f'{stage}.jsonl').read_text().splitlines()
        ]
    )


@pytest.fixture(scope='module')
def one(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('one') / 'run'
    done = run(command(workdir, **SHORT))
    assert done.returncode == 0, done.stderr
    return workdir


def architectures(workdir):
    evolved = json.loads((workdir / 'phases' / 'evolve.json').read_text())
    return [m['architecture'] for m in evolved['members']]


@pytest.mark.slow
def test_a_run_moves_from_eight_devices_to_one_and_back(one, tmp_path):
    """Stopped on 8 devices, continued on 4, 2 and 1, ended on 8: the same run but for rounding."""
    workdir = tmp_path / 'run'
    moments = [
        (8, 'phase:supernet_0:0.4:SIGTERM'),
        (4, 'phase:supernet_0:0.8:SIGKILL'),
        (2, 'phase:evolve:0.3:SIGTERM'),
        (1, 'phase:retrain:0.5:SIGTERM'),
    ]
    flag = '--xla_force_host_platform_device_count'
    for devices, moment in moments:
        flags = {'XLA_FLAGS': f'{flag}={devices} {LESS_CARE}'}
        ended = interrupted(moment, workdir, environment=flags, **SHORT)
        assert ended.returncode in (143, -9), (moment, ended.stderr)
    done = run(command(workdir, **SHORT), XLA_FLAGS=f'{flag}=8 {LESS_CARE}')
    assert done.returncode == 0 and 'damaged' not in done.stderr, done.stderr
    for phase in ('supernet_0', 'retrain'):
        np.testing.assert_allclose(losses(workdir, phase), losses(one, phase), rtol=1e-3)
        np.testing.assert_allclose(losses(workdir, phase)[:8], losses(one, phase)[:8], rtol=2e-5)
    assert architectures(workdir) == architectures(one)


@pytest.mark.slow
def test_processes_of_the_launcher_agree_with_one(one, tmp_path):
    """launch/local.sh with two devices a process: the whole method, and one process writes."""
    workdir = tmp_path / 'run'
    python, *arguments = command(workdir, **SHORT)
    done = run(
        ['launch/local.sh', '4', *arguments[2:]],
        JAX_PLATFORMS='cpu',
        DEVICES_PER_PROCESS='2',
        ATTEMPTS='1',
        XLA_FLAGS=LESS_CARE,
        PATH=f'{os.path.dirname(python)}{os.pathsep}{os.environ["PATH"]}',
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('winner') == 1
    for phase in ('supernet_0', 'retrain'):
        np.testing.assert_allclose(losses(workdir, phase)[:8], losses(one, phase)[:8], rtol=1e-5)
    assert architectures(workdir) == architectures(one)
    lines = (workdir / 'journal.jsonl').read_text().splitlines()
    assert len(lines) == len(set(lines)) == 6
