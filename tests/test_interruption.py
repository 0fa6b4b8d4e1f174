"""Killed anywhere and run again = never killed: weights, moves, population, report, to the byte."""

import hashlib
import random
import signal

import pytest

from conftest import ROOT, command, run
from s4jax.report import NOT_COMPARED

STAGES = ['supernet_0', 'explore_0', 'supernet_1', 'evolve', 'retrain', 'baseline', 'test']


def interrupted(moment, workdir):
    arguments = command(workdir)
    return run([arguments[0], str(ROOT / 'tests' / 'interrupt.py'), moment, *arguments[3:]], PYTHONPATH=str(ROOT))


def hashes(workdir):
    """Every file but the checkpoints (Orbax writes its own times into them; the stages hold their digests)."""
    found = {}
    for path in sorted(workdir.rglob('*')):
        name = path.relative_to(workdir)
        if path.is_file() and name.parts[0] not in ('checkpoints', *NOT_COMPARED):
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
    """A run that was never interrupted."""
    workdir = tmp_path_factory.mktemp('reference') / 'run'
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


def same(workdir, reference):
    ours, theirs = hashes(workdir), hashes(reference)
    assert {'result.json', 'report.html', 'journal.jsonl', 'stages/evolve.json', 'metrics/retrain.jsonl'} <= set(theirs)
    assert ours == theirs


@pytest.mark.slow
def test_killed_in_every_stage_and_in_a_save(reference, tmp_path):
    workdir, (whole, stdout) = tmp_path / 'run', reference
    rng = random.SystemRandom()
    moments = [f'stage:{stage}:{rng.uniform(0, 0.7):.3f}:SIGKILL' for stage in STAGES]
    moments.insert(1, f'save:{rng.randint(1, 3)}')
    print('moments:', moments)            # told where the test fails
    for moment in moments:
        died = interrupted(moment, workdir)
        assert died.returncode == -signal.SIGKILL, (moment, died.stderr)
        if moment.startswith('save'):
            assert list(workdir.glob('checkpoints/*/*.orbax-checkpoint-tmp*')), 'not in the middle of a save'
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    same(workdir, whole)
    assert done.stdout.replace(str(workdir), '') == stdout.replace(str(whole), '')


@pytest.mark.slow
def test_killed_before_the_first_checkpoint(reference, tmp_path):
    workdir = tmp_path / 'run'
    assert interrupted('save:1', workdir).returncode == -signal.SIGKILL
    assert not list(workdir.glob('checkpoints/supernet_0/[0-9]*[0-9]'))
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    same(workdir, reference[0])


@pytest.mark.slow
@pytest.mark.parametrize('stage, name', [('supernet_1', 'SIGTERM'), ('explore_0', 'SIGINT')])
def test_signals_save_and_say_how_to_go_on(reference, tmp_path, stage, name):
    workdir = tmp_path / 'run'
    stopped = interrupted(f'stage:{stage}:0.3:{name}', workdir)
    assert stopped.returncode == 128 + getattr(signal, name), stopped.stderr
    assert f'stopped and saved in {workdir}; to go on, run the same command again' in stopped.stderr
    assert 'Traceback' not in stopped.stderr
    assert (workdir / 'stages' / 'supernet_0.json').exists() and not (workdir / 'stages' / f'{stage}.json').exists()
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    same(workdir, reference[0])


@pytest.mark.slow
def test_a_damaged_checkpoint_of_a_finished_stage_is_made_again(reference, tmp_path):
    """The winner's last checkpoint is damaged before the test stage needs it."""
    workdir = tmp_path / 'run'
    assert interrupted('stage:test:0:SIGKILL', workdir).returncode == -signal.SIGKILL
    newest = max((workdir / 'checkpoints' / 'retrain').glob('[0-9]*'), key=lambda path: int(path.name))
    victim = max((path for path in newest.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    assert f'{newest} is damaged' in done.stderr
    same(workdir, reference[0])
