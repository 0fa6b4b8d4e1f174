"""Phases of a session: computed once, typed on both sides of their JSON, timed."""

import dataclasses
import json
import os
import sys

import jax
import pytest
from runs import run

from s4jax.runtime import mesh
from s4jax.runtime.progress import Progress
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Signals


@dataclasses.dataclass(frozen=True)
class Found:
    values: tuple

    def to_json(self):
        return {'values': list(self.values)}

    @classmethod
    def from_json(cls, row):
        return cls(tuple(row['values']))


def test_a_phase_is_computed_once(tmp_path, capsys):
    renewed = []
    session = Session(
        *(tmp_path, mesh.create(), Signals(), Progress(tmp_path, {'one': 3.0})),
        renew=lambda: renewed.append((tmp_path / 'phases/one.json').exists()),
    )
    calls = []

    def compute():
        calls.append(session.progress.running)
        return Found((1, 2))

    for _ in range(2):
        assert session.phase('one', compute, Found.from_json) == Found((1, 2))
    assert renewed == [True]  # once, when its outcome is written
    assert calls == ['one'] and session.finished() == {'one'} and session.progress.running == ''
    assert json.loads((tmp_path / 'phases' / 'one.json').read_text()) == {'values': [1, 2]}
    *_, row = map(json.loads, (tmp_path / 'timing.jsonl').read_text().splitlines())
    assert row['phase'] == 'one' and row['images'] == 0 and row['seconds'] >= 0
    (tmp_path / 'phases' / 'one.json').write_text('{"val')  # damaged: computed again
    assert session.phase('one', compute, Found.from_json) == Found((1, 2)) and len(calls) == 2


def test_a_phase_that_fails_is_not_finished(tmp_path):
    session = Session(tmp_path, mesh.create(), Signals(), Progress(tmp_path, {}, shown=False))

    def compute():
        raise KeyError('no')

    with pytest.raises(KeyError):
        session.phase('one', compute, Found.from_json)
    assert not session.finished() and not session.progress.running


def test_how_a_session_was_started_is_noted(tmp_path):
    code = (
        'import pathlib, sys; from s4jax.runtime import mesh, progress, session, signals; '
        'path = pathlib.Path(sys.argv[1]); line = progress.Progress(path, {}); '
        'session.Session(path, mesh.create(), signals.Signals(), line).begin()'
    )
    done = run([sys.executable, '-c', code, str(tmp_path), 'two words'], JAX_PLATFORMS='cpu')
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, (tmp_path / 'timing.jsonl').read_text().splitlines())
    assert row['command'].startswith('python -c ') and row['command'].endswith(" 'two words'")
    assert row['devices'] == f'{len(jax.devices())} × cpu, {os.cpu_count()} cores'
