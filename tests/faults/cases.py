"""Faults that a run is put through, each with what must come out of it.

A case takes a `Place` and a number that decides all its randomness; it returns the faults that
really happened, by name, and the seconds that a stop took. It raises `Wrong` where a run ends
otherwise than it must: with the bytes of a run that nothing disturbed, or refused in one line.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import runs
from runs import LESS_CARE, ROOT, TINY, hashes

from s4jax.runtime import goodput

PHASES = ['supernet_0', 'explore_0', 'supernet_1', 'evolve', 'retrain', 'baseline', 'test']
INTERRUPT = str(ROOT / 'tests' / 'interrupt.py')
SMALL = TINY | {  # the fewest images that visit all phases
    'data.test': 1100,
    'data.search': 200,
    'explore.pairs': 2,
    'evolve.population': 5,
    'checkpoint.save_every': 3,
}
command = functools.partial(runs.command, base=SMALL)
STARTS = 12  # of one run at most, before it is left alone


class Wrong(Exception):
    """A run that ended otherwise than it must."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the cases run: a folder of their own, and the run that nothing disturbed."""

    folder: pathlib.Path
    reference: pathlib.Path

    def environment(self, **more):
        return os.environ | {
            'PYTHONPATH': str(ROOT),
            'XLA_FLAGS': LESS_CARE,
            'JAX_COMPILATION_CACHE_DIR': str(self.folder / 'compiled'),
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
            **more,
        }

    def start(self, arguments, **more):
        return subprocess.Popen(
            [str(part) for part in arguments],
            cwd=ROOT,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process, timeout=3600):
        """(exit code, stdout, stderr) of what `start` gave."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Wrong(f'it does not end within {timeout} s') from None
        return process.returncode, out, err

    def finish(self, workdir, **more):
        """Runs to the end, and compares every file with the undisturbed run."""
        code, _, err = self.end(self.start(command(workdir), **more))
        if code != 0:
            raise Wrong(f'ended with {code}: {err[-2000:]}')
        self.compare(workdir)

    def compare(self, workdir):
        ours, theirs = hashes(workdir), hashes(self.reference)
        if ours != theirs:
            names = [n for n in ours.keys() | theirs if ours.get(n) != theirs.get(n)]
            raise Wrong(f'differs from the undisturbed run: {sorted(names)}')


def refused(code, err, words):
    """Raises unless a process refused with exit code 2 and one line that has the words."""
    lines = [line for line in err.splitlines() if line.startswith('s4jax: ')]
    if code != 2 or 'Traceback' in err or not lines or words not in lines[-1]:
        raise Wrong(f'not refused in a line with {words!r} (exit code {code}): {err[-2000:]}')


def phase_of(workdir):
    """The phase under way, from what is on the disk."""
    if not (workdir / 'config.json').exists():
        return 'start'
    done = {path.stem for path in (workdir / 'phases').glob('*.json')}
    return next((phase for phase in PHASES if phase not in done), 'report')


def ended_at_random(place, workdir, rng, number):
    """One start of a run that is ended by a signal at a random moment.

    (exit code, stderr, phase, seconds from the signal to the end). Two of three are ended at a
    random share of a phase's work, the others at a random time within a third of what an
    undisturbed run takes: while libraries load, while programs compile, while files are written.
    """
    arguments = command(workdir)
    name = signal.Signals(number).name
    left = [p for p in PHASES if not (workdir / 'phases' / f'{p}.json').exists()]
    if left and rng.random() < 2 / 3:
        moment = f'phase:{rng.choice(left[:3])}:{rng.random():.3f}:{name}'
        process = place.start([arguments[0], INTERRUPT, moment, *arguments[3:]])
        code, _, err = place.end(process)
        return code, err, phase_of(workdir), None
    process = place.start(arguments)
    try:
        process.wait(rng.uniform(0, goodput.read(place.reference).seconds / 3))
    except subprocess.TimeoutExpired:
        pass
    began = time.monotonic()
    process.send_signal(number)
    code, _, err = place.end(process)
    return code, err, phase_of(workdir), time.monotonic() - began


def kill(place, number):
    """kill -9 at random moments of one run, until it is through."""
    rng, workdir = random.Random(f'kill {number}'), place.folder / f'kill-{number}'
    seen = {}
    for _ in range(STARTS):
        code, err, phase, _ = ended_at_random(place, workdir, rng, signal.SIGKILL)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            raise Wrong(f'ended with {code} in {phase}: {err[-2000:]}')
        seen[phase] = seen.get(phase, 0) + 1
    place.finish(workdir)
    return seen, []


def term(place, number):
    """SIGTERM at random moments: every step is saved, and within 30 s."""
    rng, workdir = random.Random(f'term {number}'), place.folder / f'term-{number}'
    seen, took = {}, []
    for _ in range(STARTS):
        code, err, phase, seconds = ended_at_random(place, workdir, rng, signal.SIGTERM)
        if code == 0:
            break
        loading = code == -signal.SIGTERM and phase in ('start', phase_of(workdir))
        if code != 143 and not loading:
            raise Wrong(f'ended with {code} in {phase}: {err[-2000:]}')
        if code == 143:
            check_saved(workdir, phase)
        seen[phase] = seen.get(phase, 0) + 1
        took += [seconds] if seconds is not None else []
    place.finish(workdir)
    return seen, took


def check_saved(workdir, phase):
    """Raises where a step that was taken is not in the newest checkpoint."""
    metrics = workdir / 'metrics' / f'{phase}.jsonl'
    if not metrics.exists():
        return
    taken = len(metrics.read_text().splitlines())
    saved = [
        int(p.name) for p in (workdir / 'checkpoints' / phase).glob('[0-9]*') if p.name.isdigit()
    ]
    if taken != max(saved, default=0):
        raise Wrong(f'{phase}: {taken} steps were taken, {max(saved, default=0)} saved')


def small_disk(place, number, options):
    """A file system of its own below the folder; (its path, what unmounts it)."""
    mount = place.folder / f'mount-{number}'
    mount.mkdir(parents=True, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', mount], check=True)
    return mount


def unmount(mount):
    subprocess.run(['umount', '-l', mount], check=True)
    mount.rmdir()


def forbid_writing(mount):
    """Hides a file system behind a read-only view of itself; `umount` takes the view away.

    The file system itself cannot be remounted while a run keeps its lock open for writing.
    """
    subprocess.run(['mount', '--bind', mount, mount], check=True)
    subprocess.run(['mount', '-o', 'remount,bind,ro', mount], check=True)


def full_disk(place, number):
    """A disk that fills up at a random moment, and then has room again."""
    rng = random.Random(f'disk {number}')
    whole = sum(p.stat().st_size for p in place.reference.rglob('*') if p.is_file()) // 1024
    mount = small_disk(place, f'disk-{number}', f'size={int(rng.uniform(0.05, 0.9) * whole)}k')
    try:
        workdir = mount / 'run'
        code, _, err = place.end(place.start(command(workdir)))
        refused(code, err, 'the disk is full')
        phase = phase_of(workdir)
        subprocess.run(['mount', '-o', 'remount,size=1g', mount], check=True)
        place.finish(workdir)
    finally:
        unmount(mount)
    return {phase: 1}, []


def read_only(place, number):
    """A workdir that cannot be written: from the start, or from a random moment on."""
    rng = random.Random(f'read-only {number}')
    mount = small_disk(place, f'ro-{number}', 'size=1g')
    workdir, phase = mount / 'run', 'start'
    try:
        if number % 2 == 0:
            forbid_writing(mount)
            code, _, err = place.end(place.start(command(workdir)))
        else:
            process = place.start(command(workdir, checkpoint__save_every=1))
            wanted = rng.choice(PHASES[:-1])
            while phase_of(workdir) != wanted and process.poll() is None:
                time.sleep(0.1)
            forbid_writing(mount)
            phase = phase_of(workdir)
            code, _, err = place.end(process)
        refused(code, err, 'no permission to write')
        subprocess.run(['umount', '-l', mount], check=True)
        place.finish(workdir)
    finally:
        unmount(mount)
    return {phase: 1}, []


def twice(place, number):
    """Two starts in one workdir at once: one goes on, the other refuses; nothing is mixed."""
    rng, workdir = random.Random(f'twice {number}'), place.folder / f'twice-{number}'
    first = place.start(command(workdir))
    if number % 2:
        while phase_of(workdir) != 'explore_0' and first.poll() is None:
            time.sleep(0.1)
    else:
        time.sleep(rng.uniform(0, 0.3))
    second = place.start(command(workdir))
    ended = sorted((place.end(process) for process in (first, second)), key=lambda e: e[0])
    if ended[0][0] != 0:
        raise Wrong(f'none went on: {ended[0][2][-2000:]}')
    refused(ended[1][0], ended[1][2], 'another process')
    place.compare(workdir)
    return {'all': 1}, []


CLOCK = """
import random, sys, time
real, rng, state = time.time, random.Random(sys.argv.pop(1)), [0, 0]
def jumping():
    if time.monotonic() > state[0]:  # every second or so, by a second to years, either way
        state[:] = time.monotonic() + rng.uniform(0, 2), rng.choice((-1e8, -3600, -1, 1, 3600, 1e8))
    return real() + state[1]
time.time = jumping
time.time_ns = lambda: int(1e9 * jumping())
from s4jax import main
main.start()
"""


def clock(place, number):
    """A clock that jumps by hours and years, in the process and in the times of its files.

    A jump while a checkpoint is written may end the process, for Orbax's limits go by that clock:
    it is started again, as a launcher does.
    """
    rng, workdir = random.Random(f'clock {number}'), place.folder / f'clock-{number}'
    seen = {}
    for start in range(STARTS):
        arguments = [sys.executable, '-c', CLOCK, f'{number} {start}', *command(workdir)[3:]]
        process = place.start(arguments)
        if start == 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(5, 40))
            process.kill()
        code, _, err = place.end(process, timeout=600)
        phase = phase_of(workdir)
        seen[phase] = seen.get(phase, 0) + 1
        if code == 0:
            break
        if start and not (code == 1 and 'TimeoutError' in err):
            raise Wrong(f'ended with {code}: {err[-2000:]}')
        for path in workdir.rglob('*'):
            os.utime(path, (rng.uniform(0, 4e9),) * 2)
    place.compare(workdir)
    return seen, []


def clean(place):
    """Removes what the cases left, but for the compiled programs and the undisturbed runs."""
    for path in place.folder.iterdir():
        if path.is_dir() and path.name.partition('-')[2].isdigit():
            shutil.rmtree(path, ignore_errors=True)
