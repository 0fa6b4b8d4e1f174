"""Ctrl-C and SIGTERM end a run at a moment from which it can go on."""

import os
import signal


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: everything is saved; the same command goes on from here."""


class Signals:
    """Turns the first Ctrl-C or SIGTERM into a flag that the loops look at; a second one ends the process at once."""

    def __init__(self):
        self.received: int | None = None

    def __enter__(self) -> 'Signals':
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number, _frame):
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number
