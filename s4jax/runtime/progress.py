"""One line of progress: the phase, images a second, time left for the phase and for the run."""

import contextlib
import json
import pathlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import tqdm

import s4jax
from s4jax.runtime.goodput import Pace

SCORING = 1 / 3  # the work of scoring an image, measured in training steps of an image
FORMAT = '{desc} {percentage:3.0f}%  {rate_fmt}  phase: {elapsed}, {remaining} left{postfix}'


def sessions(path: pathlib.Path) -> set[int]:
    """The starts of a run that a timing.jsonl knows."""
    found = set()
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            found.add(json.loads(line).get('session', 0))
    return found - {0}


class Progress:
    """Counts work in images trained on; `plan` holds the work of every phase of the run.

    The seconds of each phase and session are kept in `timing.jsonl`, also while a phase is under
    way, since a kill gives no notice (see `goodput`). With `shown` off nothing is printed or
    written.
    """

    def __init__(self, workdir: pathlib.Path, plan: Mapping[str, float], shown: bool = True):
        self.workdir, self.plan, self.shown = workdir, dict(plan), shown
        self.running = ''  # the name of the phase under way
        self._work, self._seconds = 0.0, 0.0  # of the phases that this session has finished
        self._began = self._first = self._done = self._total = 0.0
        self._bar = tqdm.tqdm(disable=True)
        self._session = 0  # which start of the run this is, from 1; 0: nothing was written yet
        self._pace, self._last = Pace(), 0.0
        self._ended = threading.Event()

    def warn(self, text: str) -> None:
        tqdm.tqdm.write(f's4jax: {text}', file=sys.stderr)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase that this session computes, or goes on with."""
        self.running, self._began = name, time.monotonic()
        self._first = self._done = 0.0
        self._pace, self._last = Pace(), self._began
        self._total = self.plan.pop(name, 0.0)
        self._bar = self._new_bar(name)
        if self.shown:
            self._write(self._row())
            self._ended = threading.Event()
            threading.Thread(target=self._keep_writing, args=[self._ended], daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()
            self._bar.close()
            seconds, work = time.monotonic() - self._began, self._done - self._first
            self._work, self._seconds = self._work + work, self._seconds + seconds
            if self.shown:
                self._write(self._row())
            self.running = ''

    def _new_bar(self, name: str) -> tqdm.tqdm:
        return tqdm.tqdm(
            total=max(1, round(self._total)),
            desc=f'{name:<10}',
            unit='img',
            unit_scale=True,
            file=sys.stderr,
            disable=not self.shown,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 10,
            maxinterval=30,
            bar_format=FORMAT,
        )

    def _keep_writing(self, ended: threading.Event) -> None:
        """Writes a row a second at first, then whenever a hundredth of the time has passed."""
        while not ended.wait(max(1.0, 0.01 * (time.monotonic() - s4jax.BEGAN))):
            self._write(self._row())

    def _row(self) -> dict[str, object]:
        """What the phase under way has taken so far."""
        now = time.monotonic()
        if not self._session:
            self._session = 1 + len(sessions(self.workdir / 'timing.jsonl'))
        return {
            'session': self._session,
            'at': round(now - s4jax.BEGAN, 2),
            'phase': self.running,
            'seconds': round(now - self._began, 2),
            'images': round(self._done - self._first),
            'first': round(self._first),
            'last': round(self._done),
            'useful': round(self._pace.useful, 2),
        }

    def _write(self, row: Mapping[str, object]) -> None:
        path = self.workdir / 'timing.jsonl'
        with contextlib.suppress(OSError), path.open('a') as file:  # the disk may be full
            file.write(json.dumps(row) + '\n')

    def skip(self, name: str) -> None:
        """A phase that needs nothing more."""
        self.plan.pop(name, None)

    def resume(self, work: float) -> None:
        """The phase under way begins with this much of its work done by an earlier session."""
        self._first = self._done = work
        self._bar.initial = self._bar.n = round(work)

    def known(self, work: float) -> None:
        """As much of the phase under way is done; what is new of it an earlier session did."""
        new = work - self._done
        self._first, self._done = self._first + new, work

    def advance(self, work: float) -> None:
        """The phase under way has done this much of its work."""
        now = time.monotonic()
        self._pace.add(work - self._done, now - self._last)
        self._done, self._last = work, now
        seconds = self._seconds + time.monotonic() - self._began
        rate = (self._work + work - self._first) / seconds
        rest = max(0.0, self._total - work) + sum(self.plan.values())
        left = tqdm.tqdm.format_interval(rest / rate if rate else 0)
        self._bar.set_postfix_str(f'run: {left} left', refresh=False)
        self._bar.update(round(work) - self._bar.n)
