"""Signals: the first is a flag, the second ends the process, and handlers are given back."""

import os
import signal
import subprocess
import sys

from s4jax.runtime.signals import Signals

TWICE = """
import os, signal
from s4jax.runtime.signals import Signals
with Signals() as signals:
    os.kill(os.getpid(), signal.SIGTERM)
    print(signals.received, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print('not ended', flush=True)
"""


def test_the_first_signal_is_a_flag():
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_second_signal_ends_the_process():
    done = subprocess.run([sys.executable, '-c', TWICE], capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM and done.stdout == '15\n'
