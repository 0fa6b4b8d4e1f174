"""Ctrl-C and SIGTERM end a run at a moment from which it can go on."""

import os
import signal
from types import FrameType, TracebackType


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: everything is saved; the same command goes on from here."""


class Signals:
    """Turns the first Ctrl-C or SIGTERM into a flag that the loops look at.

    A second one ends the process at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> 'Signals':
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number
