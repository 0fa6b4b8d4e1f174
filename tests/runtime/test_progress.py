"""Progress: what is left of the run by the rate so far, and what an earlier session did."""

import json

from s4jax.runtime import progress as module
from s4jax.runtime.progress import Progress


def test_time_left_is_the_rest_of_the_work_by_the_rate(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    progress = Progress(tmp_path, {'one': 100.0, 'two': 300.0, 'three': 50.0})
    progress.skip('three')
    with progress.phase('one'):
        progress.resume(40)  # done by an earlier session: not part of the rate
        now[0] = 10.0
        progress.advance(60)  # 20 images in 10 s; 40 + 300 are left
        assert progress._bar.postfix == 'run: 02:50 left'
        progress.advance(100)
    with progress.phase('two'):
        now[0] = 30.0
        progress.advance(120)  # 60 + 120 images in 30 s; 180 are left
        assert progress._bar.postfix == 'run: 00:30 left'
    rows = [json.loads(line) for line in (tmp_path / 'timing.jsonl').read_text().splitlines()]
    last = {row['phase']: row for row in rows}
    assert [last[name]['seconds'] for name in ('one', 'two')] == [10.0, 20.0]
    assert [last[name]['images'] for name in ('one', 'two')] == [60, 120]
    assert (last['one']['first'], last['one']['last']) == (40, 100)
    assert {row['session'] for row in rows} == {1}
    again = Progress(tmp_path, {'two': 300.0})
    with again.phase('two'):
        again.known(90)  # found in a journal: not part of this session's work
        now[0] = 40.0
        again.advance(120)
    row = json.loads((tmp_path / 'timing.jsonl').read_text().splitlines()[-1])
    assert (row['session'], row['first'], row['last'], row['images']) == (2, 90, 120, 30)


def test_nothing_is_written_where_it_is_not_shown(tmp_path, capsys):
    progress = Progress(tmp_path, {}, shown=False)
    with progress.phase('one'):
        progress.advance(1)
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ''
    progress.warn('a reason')
    assert capsys.readouterr().err == 's4jax: a reason\n'
