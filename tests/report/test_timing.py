"""Seconds by phase, over all sessions; rows that are not known are left out."""

import pathlib

from s4jax.report.timing import Timing, read_timing

LINES = """\
{"command": "python -m s4jax.main", "devices": "1 \\u00d7 cpu"}
{"phase": "supernet_0", "seconds": 2.5, "images": 100}
{"command": "python -m s4jax.main", "devices": "8 \\u00d7 gpu"}
{"phase": "supernet_0", "seconds": 1.5, "images": 300}
{"phase": "evolve", "seconds": 3}
{"goodput": 0.97}
[1]
{"phase": "evol"""


def test_sessions_are_summed(tmp_path):
    (tmp_path / 'timing.jsonl').write_text(LINES)
    assert read_timing(tmp_path / 'timing.jsonl') == Timing(
        {'supernet_0': 4.0, 'evolve': 3},
        {'supernet_0': 400, 'evolve': 0},
        ('python -m s4jax.main',),
        ('1 × cpu', '8 × gpu'),
    )


def test_no_file():
    assert read_timing(pathlib.Path('nowhere')) == Timing({}, {}, (), ())
