"""Time by phase, device and command."""

import dataclasses

import pytest

from s4jax.report.reading import read
from s4jax.report.sections.time import duration, time
from s4jax.report.timing import Timing


def test_every_phase_in_its_order_and_the_sum(workdir, parsed):
    words = str(parsed(time(read(workdir))))
    assert 'python -m s4jax.main --config=configs/digits.py' in words and '1 × cpu' in words
    rows = words.split('images a second')[1]
    assert rows == 'explore_01:021,23020evolve1:021,23020all2:03––'
    assert 'class="own"' in time(read(workdir))


def test_nothing_is_there_without_a_record(workdir):
    assert time(dataclasses.replace(read(workdir), timing=Timing({}, {}, (), ()))) == ''


@pytest.mark.parametrize('seconds, text', [(0.4, '0:00'), (125, '2:05'), (3723, '1:02:03')])
def test_durations(seconds, text):
    assert duration(seconds) == text
