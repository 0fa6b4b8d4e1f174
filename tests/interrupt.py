"""Runs `s4jax.main` and ends it at a moment of one's choice: `python tests/interrupt.py MOMENT --config=… --workdir=…`.

MOMENT is `stage:NAME:FRACTION:SIGNAL` (some milliseconds after that fraction of the stage's work), or `save:N` (SIGKILL when the N-th checkpoint of the
process is written but not yet committed), or `features:N` (SIGKILL
when the N-th file of an encoder's states is about to be).
"""

import contextlib
import os
import random
import signal
import sys
import threading

from s4jax import main
from s4jax.models.clip import features
from s4jax.runtime.progress import Progress


def end(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def at_stage(name, fraction, number):
    stage, reached, running = Progress.stage, Progress.reached, []

    def soon(work, total):
        if running == [name] and work >= fraction * total:
            running.clear()
            threading.Timer(random.uniform(0, 0.05), end, [number]).start()

    @contextlib.contextmanager
    def watched(self, current):
        running[:] = [current]
        with stage(self, current):
            soon(0, self._total)
            yield

    def counted(self, work):
        soon(work, self._total)
        reached(self, work)

    Progress.stage, Progress.reached = watched, counted


def at_save(count):
    seen = set()
    for function in ('rename', 'replace'):

        def moved(source, target, *args, real=getattr(os, function), **kwargs):
            name = os.path.basename(str(source))
            if 'orbax-checkpoint-tmp' in name and name.split('.')[0].isdigit():
                seen.add(str(source))
                if len(seen) == count:
                    end()
            return real(source, target, *args, **kwargs)

        setattr(os, function, moved)


def at_features(count):
    write = features.write_bytes

    def counted(path, *pieces, seen=[]):
        seen += [path] * (path.suffix == '.bin')
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
    elif kind == 'stage':
        at_stage(rest[0], float(rest[1]), getattr(signal, rest[2]))
    sys.exit(main.main())
