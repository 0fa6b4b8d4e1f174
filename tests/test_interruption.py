"""Killed anywhere and run again = never killed: weights, moves, population, report, to the byte."""

import random
import signal

import pytest
from runs import command, interrupted, run, same, untimed

from s4jax.runtime import goodput

PHASES = ['supernet_0', 'explore_0', 'supernet_1', 'evolve', 'retrain', 'baseline', 'test']


def flip_a_bit(checkpoint):
    victim = max((p for p in checkpoint.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)


@pytest.mark.slow
def test_a_run_interrupted_in_every_phase_ends_as_one_that_was_not(tiny_run, tmp_path):
    """Killed at random moments in every phase, before the first checkpoint and during a save.

    It is also stopped by signals in a training and in a search, and its last checkpoint is damaged
    before the test phase needs it.
    """
    workdir, (whole, stdout) = tmp_path / 'run', tiny_run
    rng = random.SystemRandom()
    moments = ['save:1', *(f'phase:{phase}:{rng.uniform(0, 0.5):.3f}:SIGKILL' for phase in PHASES)]
    moments.insert(2, 'save:1')  # the next of the same phase: its first checkpoints are there now
    moments.insert(4, 'phase:explore_0:0.3:SIGINT')
    moments.insert(5, 'phase:supernet_1:0.3:SIGTERM')
    print('moments:', moments)  # shown where the test fails
    for n, moment in enumerate(moments):
        number = getattr(signal, moment.rpartition(':')[2], signal.SIGKILL)
        ended = interrupted(moment, workdir)
        if number == signal.SIGKILL:
            assert ended.returncode == -number, (moment, ended.stderr)
        else:
            assert ended.returncode == 128 + number, (moment, ended.stderr)
            message = f'stopped and saved in {workdir}; to go on, run the same command again'
            assert message in ended.stderr and 'Traceback' not in ended.stderr
        if moment.startswith('save'):
            assert list(workdir.glob('checkpoints/*/*.orbax-checkpoint-tmp*')), 'not during a save'
        if n == 0:
            assert not list(workdir.glob('checkpoints/supernet_0/[0-9]*[0-9]'))
    checkpoints = (workdir / 'checkpoints' / 'retrain').glob('[0-9]*')
    newest = max(checkpoints, key=lambda path: int(path.name))
    flip_a_bit(newest)
    # as if killed after it: the weights must be needed again
    (workdir / 'phases' / 'test.json').unlink(missing_ok=True)
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    assert f'{newest} is damaged' in done.stderr
    same(workdir, whole)
    assert untimed(done.stdout, workdir) == untimed(stdout, whole)
    spent = goodput.read(workdir)
    assert spent.sessions == len(moments) + 1 and 0 < spent.share < 1 and 0 < spent.kept < 1
