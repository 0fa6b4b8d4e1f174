"""A few steps of every kind, really run."""

import pytest
from runs import config

from s4jax import run as runs_of
from s4jax.planning import timing
from s4jax.planning.timing import Timings
from s4jax.runtime.signals import Signals


@pytest.mark.slow
def test_steps_are_really_timed(tmp_path):
    """Both executions; memory against what the arrays of a step need at the very least."""
    task, session = runs_of.prepare(config(), tmp_path, Signals())
    found = timing.measure(task, session, task.space, ('masked', 'sliced'))
    assert Timings.from_json(found.to_json()) == found
    for timed in (*found.supernet.values(), found.alone):
        assert 0 < timed.seconds < 1 and timed.compiling > 0 and timed.saving > 0
        assert timed.memory > 3 * 4 * 55_786 and timed.disk > 1000  # parameters and two moments
    assert found.supernet['masked'].programs == 1 and found.supernet['sliced'].programs == 3
    assert 0.5 <= found.winner.seconds / found.alone.seconds < 1  # smaller than the hand-made model
    assert found.subnets.seconds > 0 and not list(tmp_path.iterdir())
