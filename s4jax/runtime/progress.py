"""One line of progress: the phase, images a second, time left for the phase and for the run."""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping

import tqdm

from s4jax.runtime.files import Lines

SCORING = 1 / 3  # the work of scoring an image, measured in training steps of an image
FORMAT = '{desc} {percentage:3.0f}%  {rate_fmt}  phase: {elapsed}, {remaining} left{postfix}'


class Progress:
    """Counts work in images trained on; `plan` holds the work of every phase of the run.

    The seconds of each phase and session are kept in `timing.jsonl`. With `shown` off nothing is
    printed or written.
    """

    def __init__(self, workdir: pathlib.Path, plan: Mapping[str, float], shown: bool = True):
        self.workdir, self.plan, self.shown = workdir, dict(plan), shown
        self.running = ''  # the name of the phase under way
        self._work, self._seconds = 0.0, 0.0  # of the phases that this session has finished
        self._began = self._first = self._done = self._total = 0.0
        self._bar = tqdm.tqdm(disable=True)

    def warn(self, text: str) -> None:
        tqdm.tqdm.write(f's4jax: {text}', file=sys.stderr)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase that this session computes, or goes on with."""
        self.running, self._began = name, time.monotonic()
        self._first = self._done = 0.0
        self._total = self.plan.pop(name, 0.0)
        self._bar = self._new_bar(name)
        try:
            yield
        finally:
            self._bar.close()
            self.running = ''
            seconds, work = time.monotonic() - self._began, self._done - self._first
            self._work, self._seconds = self._work + work, self._seconds + seconds
            self.note({'phase': name, 'seconds': round(seconds, 2), 'images': round(work)})

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

    def seconds(self, name: str) -> float:
        """How long a phase has taken so far, in all sessions of the run."""
        known = Lines(self.workdir / 'timing.jsonl').rows
        running = time.monotonic() - self._began if name == self.running else 0.0
        return running + sum(row['seconds'] for row in known if row.get('phase') == name)

    def note(self, row: Mapping[str, object]) -> None:
        """Adds a row to `timing.jsonl`."""
        if not self.shown:
            return
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

    def advance(self, work: float) -> None:
        """The phase under way has done this much of its work."""
        self._done = work
        seconds = self._seconds + time.monotonic() - self._began
        rate = (self._work + work - self._first) / seconds
        rest = max(0.0, self._total - work) + sum(self.plan.values())
        left = tqdm.tqdm.format_interval(rest / rate if rate else 0)
        self._bar.set_postfix_str(f'run: {left} left', refresh=False)
        self._bar.update(round(work) - self._bar.n)
