"""The same code on 1 device, on 8, and on 2 hosts with 2 devices each."""

import json
import os
import socket
import subprocess

import numpy as np
import pytest
from runs import LESS_CARE, ROOT, command, run

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


@pytest.mark.slow
def test_eight_devices_agree_with_one(one, tmp_path):
    done = run(
        command(tmp_path / 'run', **SHORT),
        XLA_FLAGS=f'--xla_force_host_platform_device_count=8 {LESS_CARE}',
    )
    assert done.returncode == 0, done.stderr
    for stage in ('supernet_0', 'retrain'):
        np.testing.assert_allclose(
            losses(tmp_path / 'run', stage)[:8], losses(one, stage)[:8], rtol=2e-5
        )
    ours, theirs = (
        json.loads((path / 'phases' / 'evolve.json').read_text())
        for path in (tmp_path / 'run', one)
    )
    assert [m['architecture'] for m in ours['members']] == [
        m['architecture'] for m in theirs['members']
    ]


@pytest.mark.slow
def test_two_hosts_agree_with_one(one, tmp_path):
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        'JAX_PLATFORMS': 'cpu',
        'XLA_FLAGS': f'--xla_force_host_platform_device_count=2 {LESS_CARE}',
    }
    hosts = [
        subprocess.Popen(
            [
                *command(tmp_path / 'run', **SHORT),
                f'--coordinator=localhost:{port}',
                '--processes=2',
                f'--process={i}',
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [host.communicate(timeout=900) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], outputs
    assert (
        'winner' in outputs[0][0] and 'winner' not in outputs[1][0]
    )  # the first host speaks for all
    np.testing.assert_allclose(losses(tmp_path / 'run')[:8], losses(one)[:8], rtol=2e-5)
    lines = (tmp_path / 'run' / 'journal.jsonl').read_text().splitlines()
    assert len(lines) == len(set(lines)) == 6
