"""Killed anywhere and run again = never killed: weights, moves, population, report, to the byte."""

import random
import signal

import pytest
from runs import command, interrupted, run, same

STAGES = ['supernet_0', 'explore_0', 'supernet_1', 'evolve', 'retrain', 'baseline', 'test']


@pytest.mark.slow
def test_a_run_interrupted_in_every_stage_ends_as_one_that_was_not(tiny_run, tmp_path):
    """Killed at random moments in every stage, before the first checkpoint, in the middle of a save; stopped by signals in a
    fit and in a search; its last checkpoint damaged before the test stage needs it."""
    workdir, (whole, stdout) = tmp_path / 'run', tiny_run
    rng = random.SystemRandom()
    moments = ['save:1', *(f'stage:{stage}:{rng.uniform(0, 0.5):.3f}:SIGKILL' for stage in STAGES)]
    moments.insert(2, 'save:1')  # the next of the same stage: its first checkpoints are there now
    moments.insert(4, 'stage:explore_0:0.3:SIGINT')
    moments.insert(5, 'stage:supernet_1:0.3:SIGTERM')
    print('moments:', moments)  # told where the test fails
    for n, moment in enumerate(moments):
        number = getattr(signal, moment.rpartition(':')[2], signal.SIGKILL)
        ended = interrupted(moment, workdir)
        if number == signal.SIGKILL:
            assert ended.returncode == -number, (moment, ended.stderr)
        else:
            assert ended.returncode == 128 + number, (moment, ended.stderr)
            assert (
                f'stopped and saved in {workdir}; to go on, run the same command again'
                in ended.stderr
            )
            assert 'Traceback' not in ended.stderr
        if moment.startswith('save'):
            assert list(workdir.glob('checkpoints/*/*.orbax-checkpoint-tmp*')), (
                'not in the middle of a save'
            )
        if n == 0:
            assert not [
                path for path in workdir.glob('checkpoints/supernet_0/*') if path.name.isdigit()
            ]
    newest = max(
        (workdir / 'checkpoints' / 'retrain').glob('[0-9]*'), key=lambda path: int(path.name)
    )
    victim = max(
        (path for path in newest.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size
    )
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    (workdir / 'stages' / 'test.json').unlink(
        missing_ok=True
    )  # killed after it: the weights must be needed again
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    assert f'{newest} is damaged' in done.stderr
    same(workdir, whole)
    assert done.stdout.replace(str(workdir), '') == stdout.replace(str(whole), '')
