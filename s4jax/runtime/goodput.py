"""Goodput: the share of a run's wall time that went into steps whose results were kept."""

import contextlib
import dataclasses
import json
import pathlib
import statistics
from collections.abc import Iterable, Mapping
from typing import Any


class Pace:
    """The useful seconds of a phase: those of its steps at the phase's median pace.

    What a stretch of steps takes beyond that is compilation, saving or waiting.
    """

    def __init__(self) -> None:
        self._stretches: list[tuple[float, float]] = []  # (work, seconds)

    def add(self, work: float, seconds: float) -> None:
        if work > 0:
            self._stretches.append((work, seconds))

    @property
    def useful(self) -> float:
        if not self._stretches:
            return 0.0
        pace = statistics.median(seconds / work for work, seconds in self._stretches)
        return sum(min(seconds, pace * work) for work, seconds in self._stretches)


@dataclasses.dataclass(frozen=True)
class Goodput:
    """Seconds of all sessions of a run together, and what was made of them.

    `useful`: seconds in steps whose results were kept; `kept`: the share of the work done that was
    kept, where the rest was done again after a kill.
    """

    sessions: int
    seconds: float
    useful: float
    kept: float

    @property
    def share(self) -> float:
        return self.useful / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        sessions = f'{self.sessions} session{"s" * (self.sessions != 1)}'
        return (
            f'{self.seconds:,.0f} s in {sessions}: {self.share:.1%} in steps that count, '
            f'{self.kept:.1%} of the work done was kept'
        )


def timing(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a run's timing.jsonl; damaged ones, such as a kill leaves, are left out."""
    rows = []
    with contextlib.suppress(OSError):
        for line in (workdir / 'timing.jsonl').read_text(errors='replace').splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def sessions(workdir: pathlib.Path) -> set[int]:
    """The starts of a run that its timing.jsonl knows."""
    return {row['session'] for row in timing(workdir) if 'session' in row}


def by_phase(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The last row of every phase in every session, and those of trainings that were shared."""
    last: dict[Any, dict[str, Any]] = {}
    for k, row in enumerate(timing(workdir)):
        if 'phase' in row and 'seconds' in row:
            last[row['phase'], row.get('session', f'shared {k}')] = row
    return list(last.values())


def seconds_of(workdir: pathlib.Path) -> dict[str, float]:
    """The seconds of every phase, over all sessions of a run."""
    found: dict[str, float] = {}
    for row in by_phase(workdir):
        found[row['phase']] = found.get(row['phase'], 0.0) + row['seconds']
    return found


def read(workdir: pathlib.Path) -> Goodput | None:
    """The goodput of a run so far, from its timing.jsonl; None where there is nothing yet."""
    return goodput(row for row in timing(workdir) if 'session' in row)


def goodput(rows: Iterable[Mapping[str, Any]]) -> Goodput | None:
    """Of rows {session, at, phase, first, last, useful}, in order; the last of each phase counts.

    `at`: seconds since the process began. `first` and `last`: the phase's work when the session
    came to it and so far. A session that begins a phase before where the one before it had come
    does the rest again.
    """
    ends: dict[int, float] = {}
    parts: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in rows:
        ends[row['session']] = row['at']
        if row['phase']:
            parts[row['phase'], row['session']] = row
    if not ends:
        return None
    useful = done = kept = 0.0
    for (phase, session), row in parts.items():
        later = [r['first'] for (p, s), r in parts.items() if p == phase and s > session]
        work = row['last'] - row['first']
        lasting = max(0.0, min([row['last'], *later]) - row['first'])
        done, kept = done + work, kept + lasting
        useful += row['useful'] * (lasting / work if work else 1.0)
    return Goodput(len(ends), sum(ends.values()), useful, kept / done if done else 1.0)
