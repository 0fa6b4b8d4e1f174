"""One line of progress: the stage, images a second, time left for the stage and for the whole run; and how long it took."""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping

import tqdm

SCORING = 1 / 3  # the work of scoring an image, measured in training steps of an image


class Progress:
    """Counts work in images trained on; `plan` holds the work of every stage of the run.

    The seconds of each stage and session are kept in `timing.jsonl`. With `shown` off nothing is printed or written.
    """

    def __init__(self, workdir: pathlib.Path, plan: Mapping[str, float], shown: bool = True):
        self.workdir, self.plan, self.shown = workdir, dict(plan), shown
        self._work, self._seconds = 0.0, 0.0  # of the stages that this session has left behind
        self._bar: tqdm.tqdm | None = None

    def warn(self, text: str) -> None:
        tqdm.tqdm.write(f's4jax: {text}', file=sys.stderr)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage that this session computes, or goes on with."""
        self._began, self._first, self._done = time.monotonic(), 0.0, 0.0
        self._total = self.plan.pop(name, 0.0)
        self._bar = tqdm.tqdm(
            total=max(1, round(self._total)),
            desc=f'{name:<10}',
            unit='img',
            unit_scale=True,
            file=sys.stderr,
            disable=not self.shown,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 10,
            maxinterval=30,
            bar_format='{desc} {percentage:3.0f}%  {rate_fmt}  stage: {elapsed}, {remaining} left{postfix}',
        )
        try:
            yield
        finally:
            self._bar.close()
            seconds, work = time.monotonic() - self._began, self._done - self._first
            self._work, self._seconds = self._work + work, self._seconds + seconds
            if self.shown:
                row = {'stage': name, 'seconds': round(seconds, 2), 'images': round(work)}
                with (
                    contextlib.suppress(OSError),
                    (self.workdir / 'timing.jsonl').open('a') as file,
                ):  # a disk may be full
                    file.write(json.dumps(row) + '\n')

    def skip(self, name: str) -> None:
        """A stage that needs nothing more."""
        self.plan.pop(name, None)

    def resumed(self, work: float) -> None:
        """The running stage begins with this much of its work done by an earlier session."""
        self._first = self._done = work
        self._bar.initial = self._bar.n = round(work)

    def reached(self, work: float) -> None:
        """The running stage has done this much of its work."""
        self._done = work
        rate = (self._work + work - self._first) / (self._seconds + time.monotonic() - self._began)
        left = (max(0.0, self._total - work) + sum(self.plan.values())) / rate if rate else 0
        self._bar.set_postfix_str(f'run: {tqdm.tqdm.format_interval(left)} left', refresh=False)
        self._bar.update(round(work) - self._bar.n)
