"""Goodput: what counts of a run's time, from rows whose seconds are known."""

import json

import pytest

from s4jax.runtime.goodput import Pace, goodput, read


def row(session, at, phase, first, last, useful):
    names = ('session', 'at', 'phase', 'first', 'last', 'useful')
    return dict(zip(names, (session, at, phase, first, last, useful)))


def test_compilation_and_saves_are_no_steps():
    pace = Pace()
    for seconds in (31.0, 2.0, 2.0, 5.0, 2.0):  # compiled in the first, saved in the fourth
        pace.add(20, seconds)
    pace.add(10, 1.0)
    assert pace.useful == pytest.approx(5 * 2 + 1)
    assert Pace().useful == 0


def test_steps_done_again_after_a_kill_do_not_count():
    rows = [
        row(1, 5.0, 'one', 0, 0, 0.0),
        row(1, 30.0, 'one', 0, 50, 20.0),
        row(1, 50.0, 'one', 0, 100, 40.0),  # killed: what was saved are 75
        row(2, 60.0, 'one', 75, 100, 10.0),
        row(2, 90.0, 'two', 0, 30, 25.0),
    ]
    found = goodput(rows)
    assert (found.sessions, found.seconds) == (2, 140.0)
    assert found.useful == pytest.approx(0.75 * 40 + 10 + 25)
    assert found.kept == pytest.approx((75 + 25 + 30) / (100 + 25 + 30))
    assert str(found) == (
        '140 s in 2 sessions: 46.4% in steps that count, 83.9% of the work done was kept'
    )


def test_a_phase_begun_three_times_from_nothing_counts_once():
    rows = [row(n, 10.0, 'one', 0, 10, 5.0) for n in (1, 2, 3)]
    found = goodput(rows)
    assert found.useful == 5.0 and found.kept == pytest.approx(1 / 3)


def test_a_file_that_a_kill_cut_off_is_read_up_to_there(tmp_path):
    assert read(tmp_path) is None
    rows = [{'phase': 'old', 'seconds': 3}, row(1, 8.0, 'one', 0, 4, 2.0)]
    text = ''.join(json.dumps(r) + chr(10) for r in rows) + '{"sess'
    (tmp_path / 'timing.jsonl').write_text(text)
    assert read(tmp_path).share == 0.25
