"""launch/slurm.sbatch with stand-ins for SLURM and s4jax: what ends, restarts and requeues the job.

What the stand-in for srun does was seen on a real cluster of one node (SLURM 22.05): it returns the
highest exit code of its tasks, and stops the others with SIGTERM when one has ended badly.
"""

import os
import signal

import launchers
import pytest
from launchers import Machine, until

pytestmark = pytest.mark.slow  # real processes that are ended and started again

machine = launchers.machine  # the fixture

SRUN = r"""
[ "$1" = --kill-on-bad-exit=1 ] && shift
echo start >>"$NOTES/starts"
rm -f "$NOTES"/pid.?
SLURM_PROCID=0 "$@" & first=$!
SLURM_PROCID=1 "$@" & second=$!
wait $first; a=$?
[ $a = 0 ] || kill -TERM "$(cat "$NOTES/pid.1")" 2>/dev/null
wait $second; b=$?
exit $((a > b ? a : b))
"""
PYTHON = r"""
echo "$*" >>"$NOTES/arguments.$SLURM_PROCID"
trap 'exit 143' TERM
echo $$ >"$NOTES/new.$SLURM_PROCID"
mv "$NOTES/new.$SLURM_PROCID" "$NOTES/pid.$SLURM_PROCID"     # never there and still empty
until [ -e "$NOTES/pid.0" ] && [ -e "$NOTES/pid.1" ]; do sleep 0.1; done
work() { while :; do sleep 0.1; done; }
"""


@pytest.fixture
def cluster(machine: Machine):
    machine.environment |= {
        'SLURM_JOB_ID': '7',
        'SLURM_GPUS_ON_NODE': '2',
        'SLURM_NTASKS_PER_NODE': '2',
    }
    machine.fake('srun', SRUN)
    machine.fake('squeue', 'cat "$NOTES/state"')
    (machine.folder / 'state').write_text('RUNNING\n')
    machine.fake('scontrol', 'echo "$*" >>"$NOTES/scontrol"')
    machine.fake('scancel', 'echo "$*" >>"$NOTES/scancel"; kill -TERM $(cat "$NOTES"/pid.?)')
    return machine


def job(cluster, body, **environment):
    cluster.fake('python', PYTHON + body)
    return cluster.start('bash', 'launch/slurm.sbatch', '--config=a', '--workdir=b', **environment)


@pytest.mark.parametrize(
    'body, code, starts',
    [
        ('exit 0', 0, 1),
        ('[ $SLURM_PROCID = 0 ] && exit 2; work', 2, 1),  # a mistake
        ('[ $SLURM_PROCID = 0 ] && exit 9; work', 1, 3),  # a crash
        ('[ $SLURM_PROCID = 0 ] && kill -9 $$; work', 1, 3),
    ],
)
def test_what_ends_the_job(cluster, body, code, starts):
    assert cluster.end(job(cluster, body, ATTEMPTS=3))[0] == code
    assert len(cluster.lines('starts')) == starts
    line = '-m s4jax.main --distributed --config=a --workdir=b'
    assert cluster.lines('arguments.1') == [line] * starts
    assert cluster.lines('scontrol') == cluster.lines('scancel') == []


def test_goes_on_after_a_crash(cluster):
    body = """
        [ "$(grep -c '' "$NOTES/starts")" = 2 ] && exit 0
        [ $SLURM_PROCID = 0 ] && exit 5
        work"""
    code, _, err = cluster.end(job(cluster, body))
    assert code == 0, err
    assert len(cluster.lines('starts')) == 2
    assert 'process 0 ended with 5' in err and 'start 1 of 5' in err


@pytest.mark.parametrize(
    'state, requeued',
    [
        ('RUNNING', ['requeue 7']),  # the time limit is near
        ('COMPLETING', []),  # scancel, or a preemption: SLURM has told the tasks itself
    ],
)
def test_sigterm(cluster, state, requeued):
    process = job(cluster, 'work')
    until(lambda: cluster.lines('pid.0') and cluster.lines('pid.1'), 'the tasks')
    (cluster.folder / 'state').write_text(f'{state}\n')
    os.kill(process.pid, signal.SIGTERM)
    if not requeued:
        for pid in cluster.lines('pid.0') + cluster.lines('pid.1'):
            os.kill(int(pid), signal.SIGTERM)
    assert cluster.end(process)[0] == 143
    assert cluster.lines('scontrol') == requeued
    assert cluster.lines('scancel') == (['--signal=TERM 7'] if requeued else [])


def test_tasks_that_were_stopped_by_somebody_else_go_back_to_the_queue(cluster):
    process = job(cluster, 'work')
    until(lambda: cluster.lines('pid.0') and cluster.lines('pid.1'), 'the tasks')
    os.kill(int(cluster.lines('pid.0')[0]), signal.SIGTERM)
    assert cluster.end(process)[0] == 143
    assert cluster.lines('scontrol') == ['requeue 7'] and len(cluster.lines('starts')) == 1


def test_a_run_that_is_complete_is_not_requeued(cluster):
    process = job(cluster, 'trap "exit 0" TERM; echo 1 >"$NOTES/at_work.$SLURM_PROCID"; work')
    until(lambda: len(cluster.notes('at_work.*')) == 2, 'the tasks')
    os.kill(process.pid, signal.SIGTERM)
    assert cluster.end(process)[0] == 0
    assert cluster.lines('scontrol') == []


def test_each_task_needs_a_gpu(cluster):
    code, _, err = cluster.end(job(cluster, 'exit 0', SLURM_NTASKS_PER_NODE='1'))
    assert code == 2 and 'a node has 2 GPUs and 1 tasks' in err
    assert cluster.lines('starts') == []


def test_is_submitted_in_the_repository(cluster, tmp_path):
    code, _, err = cluster.end(job(cluster, 'exit 0', SLURM_SUBMIT_DIR=tmp_path))
    assert code == 2 and 'in the folder of the repository' in err
