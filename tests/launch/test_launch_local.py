"""launch/local.sh for real, with a stand-in for s4jax: starts, restarts, signals, exit codes."""

import os
import signal

import launchers
import pytest
from launchers import Machine, alive, until

pytestmark = pytest.mark.slow  # real processes that are ended and started again

machine = launchers.machine  # the fixture

# The stand-in for `python`. It notes its starts, its environment and the signals that come; what it
# does then is what a test puts in BODY, with `process` and `start` (from 1) as variables.
S4JAX = r"""
process=0
for argument in "$@"; do
    case $argument in --process=*) process=${argument#*=} ;; esac
done
echo "$*" >>"$NOTES/starts.$process"
start=$(grep -c '' "$NOTES/starts.$process")
echo "$XLA_FLAGS|$CUDA_VISIBLE_DEVICES|$OF_THE_USER" >>"$NOTES/environment.$process"
on_signal() {
    echo "$1" >>"$NOTES/signals.$process"
    stop
}
stop() { exit "$((128 + $(kill -l "$(tail -n 1 "$NOTES/signals.$process")")))"; }
trap 'on_signal TERM' TERM
trap 'on_signal INT' INT
work() {
    echo $$ >"$NOTES/new.$process"
    mv "$NOTES/new.$process" "$NOTES/ready.$process.$start"     # never there and still empty
    while :; do sleep 0.1; done
}
"""


def local(machine: Machine, count, body, **environment):
    machine.fake('python', S4JAX + body)
    return machine.start('launch/local.sh', count, '--config=a', '--workdir=b', **environment)


def starts(machine):
    return [len(machine.lines(name)) for name in machine.notes('starts.*')]


def working(machine, count, start=1):
    until(lambda: len(machine.notes(f'ready.*.{start}')) == count, f'{count} processes at work')


@pytest.mark.parametrize('count', [1, 3])
@pytest.mark.parametrize('code', [0, 2, 130, 143])
def test_ends_with_the_code_of_s4jax(machine, count, code):
    assert machine.end(local(machine, count, f'exit {code}'))[0] == code
    assert starts(machine) == [1] * count


def test_all_start_again_when_one_dies(machine):
    body = """
        case $process.$start in
            ?.3) exit 0 ;;
            1.1) exit 7 ;;
            0.2) kill -9 $$ ;;
        esac
        work"""
    code, out, err = machine.end(local(machine, 3, body, ATTEMPTS=3))
    assert (code, out) == (0, '')
    assert starts(machine) == [3, 3, 3]
    assert 'process 1 of 0..2 ended with 7' in err and 'process 0 of 0..2 ended with 137' in err
    assert err.count('all start again') == 2
    assert machine.lines('signals.2') == ['TERM', 'TERM']  # ended with the others, twice


def test_gives_up_after_the_last_start(machine):
    body = '[ $process = 1 ] && kill -9 $$; work'
    code, _, err = machine.end(local(machine, 2, body, ATTEMPTS=2))
    assert code == 137
    assert starts(machine) == [2, 2]
    assert 'ended with 137 (start 2 of 2); giving up' in err


def test_one_process_starts_again_too(machine):
    assert machine.end(local(machine, 1, 'exit 9', ATTEMPTS=3))[0] == 9
    assert starts(machine) == [3]


def test_a_mistake_of_one_process_ends_all(machine):
    # a process that dies a moment earlier must not hide the mistake
    body = """
        case $process in
            1) stop() { exit 2; } ;;
            2) until [ -e "$NOTES/ready.0.1" ] && [ -e "$NOTES/ready.1.1" ]; do sleep 0.1; done
               exit 134 ;;
        esac
        work"""
    assert machine.end(local(machine, 3, body))[0] == 2
    assert machine.lines('signals.0') == ['TERM']
    assert starts(machine) == [1, 1, 1]


def test_a_process_that_does_not_end_is_killed(machine):
    body = """
        [ $process = 1 ] && { until [ -e "$NOTES/ready.0.1" ]; do sleep 0.1; done; exit 1; }
        stop() { :; }
        work"""
    assert machine.end(local(machine, 2, body, ATTEMPTS=1, GRACE=1))[0] == 1
    assert machine.lines('signals.0') == ['TERM']
    assert not alive(int(machine.lines('ready.0.1')[0]))


@pytest.mark.parametrize('name, code', [('TERM', 143), ('INT', 130)])
@pytest.mark.parametrize('to_group', [False, True])  # as by Ctrl-C in a terminal
def test_passes_a_signal_on_once_and_waits(machine, name, code, to_group):
    body = 'stop() { sleep 1; echo saved >"$NOTES/saved.$process"; exit %d; }; work'
    launcher = local(machine, 3, body % code)
    working(machine, 3)
    number = getattr(signal, f'SIG{name}')
    os.killpg(launcher.pid, number) if to_group else os.kill(launcher.pid, number)
    assert machine.end(launcher)[0] == code
    assert machine.notes('saved.*') == ['saved.0', 'saved.1', 'saved.2']
    assert [machine.lines(f'signals.{process}') for process in range(3)] == [[name]] * 3
    assert starts(machine) == [1, 1, 1]


def test_a_second_signal_is_passed_on_too(machine):
    body = 'stop() { [ $(grep -c "" "$NOTES/signals.$process") = 2 ] && exit 143; }; work'
    launcher = local(machine, 2, body)
    working(machine, 2)
    os.kill(launcher.pid, signal.SIGTERM)
    until(lambda: len(machine.notes('signals.*')) == 2, 'the first signal')
    os.kill(launcher.pid, signal.SIGTERM)
    assert machine.end(launcher)[0] == 143
    assert [machine.lines(f'signals.{process}') for process in range(2)] == [['TERM', 'TERM']] * 2


@pytest.mark.parametrize('ended, code', [(0, 0), (1, 143)])
def test_a_run_that_was_asked_to_stop_does_not_start_again(machine, ended, code):
    launcher = local(machine, 2, f'stop() {{ exit {ended}; }}; work')
    working(machine, 2)
    os.kill(launcher.pid, signal.SIGTERM)
    assert machine.end(launcher)[0] == code
    assert starts(machine) == [1, 1]


def test_one_process_that_was_stopped_stops_all(machine):
    # the others notice it in their next step; they have as long as they need
    launcher = local(machine, 2, '[ $process = 0 ] && stop() { sleep 3; exit 143; }; work', GRACE=0)
    working(machine, 2)
    os.kill(int(machine.lines('ready.1.1')[0]), signal.SIGTERM)
    assert machine.end(launcher)[0] == 143
    assert machine.lines('signals.0') == ['TERM']
    assert starts(machine) == [1, 1]


def test_a_signal_between_two_starts(machine):
    launcher = local(machine, 1, 'exit 1', PAUSE=3600)
    until(lambda: machine.lines('starts.0'), 'the first start')
    os.kill(launcher.pid, signal.SIGTERM)
    assert machine.end(launcher)[0] == 143
    assert starts(machine) == [1]


def test_passes_the_environment_on(machine):
    code, _, err = machine.end(
        local(
            machine,
            2,
            'exit 0',
            JAX_PLATFORMS='cpu',
            DEVICES_PER_PROCESS=4,
            XLA_FLAGS='--theirs',
            OF_THE_USER='a b',
        )
    )
    assert code == 0, err
    expected = ['--theirs --xla_force_host_platform_device_count=4||a b']
    assert [machine.lines(f'environment.{process}') for process in range(2)] == [expected] * 2


def test_each_start_meets_at_a_port_that_is_free(machine):
    machine.end(local(machine, 2, 'exit 5', ATTEMPTS=2))
    for lines in zip(machine.lines('starts.0'), machine.lines('starts.1'), strict=True):
        port = lines[0].split('--coordinator=localhost:')[1].split()[0]
        assert 20000 <= int(port) < 30000
        for process, line in enumerate(lines):
            assert line == (
                f'-m s4jax.main --config=a --workdir=b --coordinator=localhost:{port} '
                f'--processes=2 --process={process}'
            )


@pytest.mark.parametrize(
    'arguments, environment, sentence',
    [
        ([], {}, 'how many processes?'),
        (['--config=a'], {}, 'how many processes?'),
        ([0, '--config=a'], {}, 'how many processes?'),
        ([2, '--coordinator=h:1'], {}, '--coordinator=h:1 is set by this launcher'),
        ([2, '--distributed'], {}, '--distributed is set by this launcher'),
        ([1], {'ATTEMPTS': 'x'}, 'ATTEMPTS=x is not a number above 0'),
        ([1], {'PAUSE': '-1'}, 'PAUSE=-1 is not a number of seconds'),
        ([3], {'CUDA_VISIBLE_DEVICES': '0,1,2,3'}, '3 processes cannot share 4 GPUs equally'),
        (
            [3],
            {'CUDA_VISIBLE_DEVICES': '0,1', 'DEVICES_PER_PROCESS': 1},
            'need 3 GPUs, and there are 2',
        ),
    ],
)
def test_a_mistake_is_named_and_nothing_starts(machine, arguments, environment, sentence):
    machine.fake('python', S4JAX)
    code, _, err = machine.run('launch/local.sh', *arguments, **environment)
    assert code == 2 and sentence in err
    assert machine.notes('starts.*') == []
