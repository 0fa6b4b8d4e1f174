"""Runs `s4jax.main` and ends it at a chosen moment.

    python tests/interrupt.py MOMENT --config=… --workdir=…

MOMENT is `phase:NAME:FRACTION:SIGNAL` (some milliseconds after that fraction of the phase's work),
`save:N` (SIGKILL when the N-th checkpoint of the process is written but not yet committed), or
`features:N` (SIGKILL when the N-th file of an encoder's states is about to be written).
"""

import contextlib
import os
import pathlib
import random
import signal
import sys
import threading

from s4jax import main
from s4jax.models.clip import features
from s4jax.runtime.progress import Progress


def end(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def at_phase(name, fraction, number):
    phase, advance, running = Progress.phase, Progress.advance, []

    def soon(work, total):
        if running == [name] and work >= fraction * total:
            running.clear()
            threading.Timer(random.uniform(0, 0.05), end, [number]).start()

    @contextlib.contextmanager
    def watched(self, current):
        running[:] = [current]
        with phase(self, current):
            soon(0, self._total)
            yield

    def counted(self, work):
        soon(work, self._total)
        advance(self, work)

    Progress.phase, Progress.advance = watched, counted


def at_save(count):
    seen = set()
    for function in ('rename', 'replace'):
        real = getattr(os, function)

        def moved(source, target, *args, real=real, **kwargs):
            name = os.path.basename(str(source))
            ours = 'checkpoints' in pathlib.Path(source).parts  # not the one that a plan times
            if ours and 'orbax-checkpoint-tmp' in name and name.split('.')[0].isdigit():
                seen.add(str(source))
                if len(seen) == count:
                    end()
            return real(source, target, *args, **kwargs)

        setattr(os, function, moved)


def at_features(count):
    write = features.write_bytes

    seen = []

    def counted(path, *pieces):
        seen.extend([path] * (path.suffix == '.bin'))
        if len(seen) == count:
            end()
        write(path, *pieces)

    features.write_bytes = counted


if __name__ == '__main__':
    kind, *rest = sys.argv.pop(1).split(':')
    if kind == 'save':
        at_save(int(rest[0]))
    elif kind == 'features':
        at_features(int(rest[0]))
    elif kind == 'phase':
        at_phase(rest[0], float(rest[1]), getattr(signal, rest[2]))
    sys.exit(main.main())
