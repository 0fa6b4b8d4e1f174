"""launch/tpu_pod.sh with a stand-in for gcloud: the two workers are folders, where the commands for
them are really carried out, down to launch/local.sh and a stand-in for s4jax."""

import os
import signal

import launchers
import pytest
from launchers import Machine, alive, until

pytestmark = pytest.mark.slow  # real processes that are ended and started again

machine = launchers.machine  # the fixture

GCLOUD = r"""
echo "${*//$'\n'/; }" >>"$NOTES/gcloud"
state=$(cat "$NOTES/state" 2>/dev/null)
becomes() { echo "$1" >"$NOTES/state.new" && mv "$NOTES/state.new" "$NOTES/state"; }
case "$3 $4" in
    'queued-resources describe')
        [ -n "$state" ] || { echo 'ERROR: NOT_FOUND: no such thing' >&2; exit 1; }
        echo "$state"
        case $state in PROVISIONING) becomes ACTIVE ;; esac ;;
    'queued-resources create')
        [ ! -e "$NOTES/no_quota" ] || { echo 'ERROR: no quota' >&2; exit 3; }
        mkdir -p "$NOTES/worker0" "$NOTES/worker1"
        becomes PROVISIONING ;;
    'queued-resources delete') rm -rf "$NOTES/state" "$NOTES/worker0" "$NOTES/worker1" ;;
    'tpu-vm scp')
        [ "$state" = ACTIVE ] || exit 255
        for worker in "$NOTES"/worker?; do cp "$5" "$worker/${6#*:}"; done ;;
    'tpu-vm ssh')
        [ "$state" = ACTIVE ] || exit 255
        workers=("$NOTES"/worker?)
        for argument in "$@"; do
            case $argument in
                --worker=0) workers=("$NOTES/worker0") ;;
                --command=*) command=${argument#*=} ;;
            esac
        done
        code=0
        for worker in "${workers[@]}"; do
            (cd "$worker" && HOME=$worker bash -c "$command") || code=$?
        done
        exit $code ;;
esac
"""
PYTHON3 = r"""
echo "$VIRTUAL_ENV: $*" >>"$HOME/install"
case "$3" in venv) mkdir -p ~/venv/bin; ln -s "$(command -v s4jax)" ~/venv/bin/python ;; esac
"""
S4JAX = r"""
worker=${HOME##*/}
echo "$OF_THE_USER|$*" >>"$NOTES/starts.$worker"
start=$(grep -c '' "$NOTES/starts.$worker")
echo "step of $worker in start $start"
trap 'echo TERM >>"$NOTES/signals.$worker"; exit 143' TERM
work() {
    echo $$ >"$NOTES/new.$worker"
    mv "$NOTES/new.$worker" "$NOTES/ready.$worker.$start"     # never there and still empty
    while :; do sleep 0.1; done
}
"""
ARGUMENTS = ['--config=a', "--workdir=/mnt/my runs/it's"]


@pytest.fixture
def cloud(machine: Machine):
    machine.environment |= {'POLL': '0'}
    machine.fake('gcloud', GCLOUD)
    machine.fake('python3', PYTHON3)
    machine.fake('git', r"printf '%s\0' launch/local.sh launch/common.sh a-file-that-was-deleted")
    yield machine
    for name in machine.notes('ready.*'):  # nothing goes on after a test
        if alive(pid := int(machine.lines(name)[0])):
            os.kill(pid, signal.SIGKILL)


def pod(cloud, body, *arguments, **environment):
    cloud.fake('s4jax', S4JAX + body)
    return cloud.start('launch/tpu_pod.sh', 'pod', 'zone', *(arguments or ARGUMENTS), **environment)


def verbs(cloud):
    return [' '.join(line.split()[2:4]) for line in cloud.lines('gcloud')]


def working(cloud, start=1):
    until(lambda: len(cloud.notes(f'ready.*.{start}')) == 2, 'both workers')


def becomes(cloud, state):
    """The state of the pod, at once: a launcher that looks often must not meet an empty file."""
    (cloud.folder / 'state.new').write_text(f'{state}\n')
    (cloud.folder / 'state.new').rename(cloud.folder / 'state')


def lose(cloud, state):
    """The machines are gone at once, and what ran on them."""
    becomes(cloud, state)
    for worker in (0, 1):
        pid = int((cloud.folder / f'worker{worker}' / 'run.pid').read_text())
        os.killpg(pid, signal.SIGKILL)
        os.kill(int(cloud.lines(cloud.notes(f'ready.worker{worker}.*')[-1])[0]), signal.SIGKILL)


def test_from_nothing_to_the_end(cloud):
    code, out, err = cloud.end(pod(cloud, 'exit 0', PASS='OF_THE_USER NOT_SET', OF_THE_USER='a b'))
    assert code == 0, err
    assert verbs(cloud) == [
        *['queued-resources describe'] * 2,
        'queued-resources create',
        *['queued-resources describe'] * 2,
        'tpu-vm scp',
        *['tpu-vm ssh'] * 3,
    ]
    assert out == 'step of worker0 in start 1\n'
    for worker in ('worker0', 'worker1'):
        assert cloud.lines(f'starts.{worker}') == [
            "a b|-m s4jax.main --distributed --config=a --workdir=/mnt/my runs/it's"
        ]
        venv = cloud.folder / worker / 'venv'
        assert cloud.lines(f'{worker}/install') == [
            ': -m pip install --user --quiet uv',
            f': -m uv venv --quiet --python 3.12 {venv}',
            f'{venv}: -m uv pip install --quiet --editable .[tpu]',
        ]
        assert (cloud.folder / worker / 's4jax' / 'launch' / 'local.sh').is_file()


@pytest.mark.parametrize('code', [2, 9])
def test_ends_with_the_code_of_worker_0(cloud, code):
    assert cloud.end(pod(cloud, f'exit {code}', ATTEMPTS=2))[0] == code
    # launch/local.sh on the worker starts again after a crash, ATTEMPTS times in all
    assert len(cloud.lines('starts.worker0')) == (1 if code == 2 else 2)
    assert verbs(cloud).count('queued-resources create') == 1


@pytest.mark.parametrize('state', ['SUSPENDED', 'SUSPENDING'])
def test_asks_again_after_a_preemption(cloud, state):
    process = pod(cloud, '[ $start = 2 ] && exit 0; work')
    working(cloud)
    lose(cloud, state)
    if state == 'SUSPENDING':
        until(lambda: verbs(cloud).count('queued-resources describe') > 8, 'several looks')
        assert 'queued-resources delete' not in verbs(cloud)
        becomes(cloud, 'SUSPENDED')
    code, _, err = cloud.end(process)
    assert code == 0, err
    asked = [verb for verb in verbs(cloud) if verb.split()[1] in ('create', 'delete')]
    assert asked == [
        'queued-resources create',
        'queued-resources delete',
        'queued-resources create',
    ]
    assert len(cloud.lines('starts.worker1')) == 2


def test_a_pod_that_was_deleted_is_not_asked_for_again(cloud):
    process = pod(cloud, 'work')
    working(cloud)
    assert cloud.run('launch/tpu_pod.sh', 'pod', 'zone', '--delete')[0] == 0
    for worker in (0, 1):
        os.kill(int(cloud.lines(f'ready.worker{worker}.1')[0]), signal.SIGKILL)
    code, _, err = cloud.end(process)
    assert code == 1 and 'pod was deleted' in err
    assert verbs(cloud).count('queued-resources create') == 1


def test_a_run_outlives_the_launcher_and_is_followed_again(cloud):
    process = pod(cloud, 'work')
    working(cloud)
    until(lambda: verbs(cloud).count('tpu-vm ssh') == 2, 'the following')
    os.kill(process.pid, signal.SIGTERM)
    code, _, err = cloud.end(process)
    assert code == 143 and 'goes on' in err
    assert alive(int(cloud.lines('ready.worker0.1')[0])) and cloud.notes('signals.*') == []

    again = pod(cloud, 'work')
    until(lambda: verbs(cloud).count('tpu-vm ssh') == 4, 'the following')
    assert cloud.run('launch/tpu_pod.sh', 'pod', 'zone', '--stop')[0] == 0
    code, out, err = cloud.end(again)
    assert code == 143 and 'a run is going on here' in err
    assert out == 'step of worker0 in start 1\n'
    for worker in (0, 1):
        assert cloud.lines(f'signals.worker{worker}') == ['TERM']
        assert len(cloud.lines(f'starts.worker{worker}')) == 1
    assert verbs(cloud).count('queued-resources create') == 1


def test_what_gcloud_refuses_ends_it(cloud):
    (cloud.folder / 'no_quota').touch()
    code, _, err = cloud.end(pod(cloud, 'exit 0'))
    assert code == 3 and 'no quota' in err


def test_a_request_that_failed_is_not_repeated(cloud):
    becomes(cloud, 'FAILED')
    code, _, err = cloud.end(pod(cloud, 'exit 0'))
    assert code == 1 and 'there will be no such pod' in err
    assert 'queued-resources create' not in verbs(cloud)


def test_gives_up_when_gcloud_fails_again_and_again(cloud):
    cloud.fake('python3', 'exit 9')  # pip
    code, _, err = cloud.end(pod(cloud, 'exit 0', ATTEMPTS=3))
    assert code == 9 and 'gcloud failed 3 times in a row' in err


def test_needs_a_clone(cloud):
    cloud.fake('git', 'exit 128')
    code, _, err = cloud.end(pod(cloud, 'exit 0'))
    assert code == 2 and 'a clone that git knows' in err
    assert cloud.lines('gcloud') == []


def test_needs_a_name_and_a_zone(cloud):
    code, _, err = cloud.run('launch/tpu_pod.sh', '--config=a')
    assert code == 2 and 'launch/tpu_pod.sh NAME ZONE' in err
    assert cloud.lines('gcloud') == []
