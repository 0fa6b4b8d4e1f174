"""Progress: the phase, images a second, and when the phase and the run will have ended.

On a terminal it is one line that is written over; in a log it is one line a minute.
"""

import contextlib
import json
import pathlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import s4jax
from s4jax.runtime.compiling import Compiling, watch
from s4jax.runtime.goodput import Pace, seconds_of, sessions

# the work of an image, measured in training steps of an image, until it has been measured
WORK = {'supernet': 1.0, 'alone': 1.0, 'subnets': 1 / 3, 'test': 1 / 3}
KINDS = {
    'explore': 'subnets',
    's3': 'subnets',
    'evolve': 'subnets',
    'front': 'subnets',
    'retrain': 'alone',
    'baseline': 'alone',
}
STEADY = 5.0  # seconds of work before a rate is believed
AGREE = 0.25  # how far the rates of the two halves of this time may differ
LONG = 60.0  # seconds after which that of the second half is believed, even where it changes
MINUTE = 60.0
MOST_POINTS = 256


def kind(phase: str) -> str:
    """Phases of one kind do the same work for each image."""
    name = phase.partition('_')[0]
    return KINDS.get(name, name)


def duration(seconds: float) -> str:
    """43 s, 12 min, 1 h 05 min, 2 d 3 h: no more digits than an estimate has."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f'{whole} s'
    minutes = round(whole / 60)
    if minutes < 10:
        return f'{whole // 60} min {whole % 60:02d} s'
    if minutes < 60:
        return f'{minutes} min'
    hours = round(whole / 3600)
    return (
        f'{minutes // 60} h {minutes % 60:02d} min'
        if hours < 48
        else f'{hours // 24} d {hours % 24} h'
    )


class Rate:
    """Images a second. `at` takes the seconds of work so far, without compilation."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = [(0.0, 0.0)]

    def at(self, seconds: float, images: float) -> None:
        self._points.append((seconds, images))
        if len(self._points) > MOST_POINTS:
            self._points = [*self._points[:-1:2], self._points[-1]]

    @property
    def value(self) -> float | None:
        """That of the second half of the time; None until it is steady.

        It is steady when there were a few seconds of work and both halves have about one rate.
        """
        seconds, images = self._points[-1]
        if seconds < STEADY:
            return None
        middle = next(point for point in self._points if point[0] >= seconds / 2)
        if not 0 < middle[0] < seconds or images <= middle[1]:
            return None
        first = middle[1] / middle[0]
        second = (images - middle[1]) / (seconds - middle[0])
        agree = abs(first - second) <= AGREE * max(first, second)
        return second if agree or seconds >= LONG else None


class Progress:
    """Counts images; `plan` holds the number of images of every phase of the run.

    The seconds of each phase and session are kept in `timing.jsonl`, also while a phase is under
    way, since a kill gives no notice (see `goodput`). With `shown` off nothing is printed or
    written. `clock` gives seconds.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        plan: Mapping[str, float],
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
        compiling: Compiling | None = None,
    ):
        self.workdir, self.plan, self.shown, self.clock = workdir, dict(plan), shown, clock
        self.compiling = compiling or watch()
        self.running = ''  # the name of the phase under way
        self.expected: dict[str, float] = {}  # seconds of phases to come, where they were planned
        self._paces: dict[str, float] = {}  # seconds an image, compilation included, by kind
        self._began = self._printed = self._first = self._done = self._total = 0.0
        self._rate = Rate()
        self._session = 0  # which start of the run this is, from 1; 0: nothing was written yet
        self._pace = Pace()
        self._last = self._written = 0.0
        self._terminal = False
        self._printing = threading.RLock()

    def warn(self, text: str) -> None:
        self._print(f's4jax: {text}')

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase that this session computes, or goes on with."""
        self.running, self._began = name, self.clock()
        self._printed, self._rate = self._began, Rate()
        self._pace, self._last = Pace(), self._began
        self._first = self._done = 0.0
        self._total = self.plan.pop(name, 0.0)
        self._terminal = sys.stderr.isatty()
        self._write()
        over, outcome = threading.Event(), 'stopped'
        ticker = threading.Thread(target=self._tick_until, args=(over,), daemon=True)
        ticker.start()
        try:
            yield
            outcome = 'done'
        finally:
            over.set()
            ticker.join()
            self._finish(outcome)
            self.running = ''

    def _tick_until(self, over: threading.Event) -> None:
        while not over.wait(1.0):
            self.tick()
            now = self.clock()  # a row a second at first, then at every hundredth of the time
            if now - self._written >= 0.01 * (now - s4jax.BEGAN):
                self._write()

    def _finish(self, outcome: str) -> None:
        """Remembers the pace of the phase under way, and says and writes what it took."""
        seconds, images = self.clock() - self._began, self._done - self._first
        compiled = self.compiling.seconds(self._began)
        if images and outcome == 'done':
            self._paces[kind(self.running)] = seconds / images
        if not self.shown:
            return
        busy = max(1e-9, seconds - compiled)
        rate = f', {images / busy:,.0f} img/s' if images else ''
        compilation = f', {duration(compiled)} of it compiling' if compiled >= 1 else ''
        self._print(f'{self.running:<10} {outcome} after {duration(seconds)}{compilation}{rate}')
        self._write()

    def _write(self) -> None:
        """What the phase under way has taken so far, as a row of `timing.jsonl`."""
        if not self.shown:
            return
        now = self._written = self.clock()
        if not self._session:
            self._session = 1 + len(sessions(self.workdir))
        self.note(
            {
                'session': self._session,
                'at': round(now - s4jax.BEGAN, 2),
                'phase': self.running,
                'seconds': round(now - self._began, 2),
                'compiling': round(self.compiling.seconds(self._began), 2),
                'images': round(self._done - self._first),
                'first': round(self._first),
                'last': round(self._done),
                'useful': round(self._pace.useful, 2),
            }
        )

    def seconds(self, name: str) -> float:
        """How long a phase has taken so far, in all sessions of the run."""
        self._write()
        return seconds_of(self.workdir).get(name, 0.0)

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

    def resume(self, images: float) -> None:
        """The phase under way begins with this many of its images done by an earlier session."""
        self._first = self._done = images

    def known(self, images: float) -> None:
        """As many images of the phase are done; what is new of them an earlier session did."""
        new = images - self._done
        self._first, self._done = self._first + new, images

    def advance(self, images: float) -> None:
        """The phase under way has done this many of its images."""
        now = self.clock()
        self._pace.add(images - self._done, now - self._last)
        self._done, self._last = images, now
        self._rate.at(self._busy(), images - self._first)

    def _busy(self) -> float:
        """The seconds of the phase under way in which nothing was compiled."""
        return max(0.0, self.clock() - self._began - self.compiling.seconds(self._began))

    def tick(self) -> None:
        """Shows the line where it is due: on a terminal now, in a log once a minute."""
        now = self.clock()
        if self.shown and self.running and (self._terminal or now - self._printed >= MINUTE):
            self._printed = now
            self._print(self.line(), over=self._terminal)

    def line(self) -> str:
        """The phase under way in one line. No time is estimated before the rate is steady."""
        share = min(1.0, self._done / self._total) if self._total else 0.0
        head = f'{self.running:<10} {share:4.0%}  '
        compiled = self.compiling.seconds(self._began)
        if self.compiling.under_way:
            return f'{head}compiling for {duration(compiled)}'
        rate = self._rate.value
        if rate is None:
            return f'{head}measuring the speed' + (
                f' (compiled in {duration(compiled)})' if compiled >= 1 else ''
            )
        left = max(0.0, self._total - self._done) / rate
        run = left + self._later(rate)
        return f'{head}{rate:,.0f} img/s  phase: {_end(left)}  run: {_end(run)}'

    def _later(self, rate: float) -> float:
        """The seconds of the phases to come, at the paces so far.

        A kind that has not run yet takes what was planned, or is estimated from the phase under
        way, by WORK.
        """
        own = kind(self.running)
        paces = {own: 1 / rate} | self._paces
        seconds = 0.0
        for name, images in self.plan.items():
            other = kind(name)
            guess = images * WORK.get(other, 1.0) / WORK.get(own, 1.0) / rate
            planned = self.expected.get(name, guess)
            seconds += images * paces[other] if other in paces else planned
        return seconds

    def _print(self, text: str, over: bool = False) -> None:
        """A line on stderr; `over`: to be written over by the next one."""
        if not over and not self._terminal:
            print(text, file=sys.stderr, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        with self._printing:
            cut = text[:width] if over else f'{text}\n'
            print(f'\r\x1b[K{cut}', end='', file=sys.stderr, flush=True)


def _end(seconds: float) -> str:
    """How long it takes, and when that is."""
    end = time.localtime(time.time() + seconds)
    today = time.strftime('%j') == time.strftime('%j', end)
    return f'{duration(seconds)} left, until {time.strftime("%H:%M" if today else "%a %H:%M", end)}'
