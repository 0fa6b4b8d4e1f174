"""Files: whole or absent, cut back to what is sound; one line where a folder cannot be written."""

import errno
import json
import os
import pathlib

import pytest

from s4jax.errors import UsageError
from s4jax.runtime.files import (
    Lines,
    check_folder,
    disk_errors,
    phase,
    remove_unfinished,
    write_json,
)


def test_lines_drop_what_a_kill_cut_off(tmp_path):
    path = tmp_path / 'lines.jsonl'
    lines = Lines(path)
    lines.append({'step': 1}, {'step': 2})
    lines.append({'step': 3})
    path.write_text(
        path.read_text() + '{"step": 4}'
    )  # no newline: perhaps only half of what was to be written
    assert [row['step'] for row in Lines(path).rows] == [1, 2, 3]
    path.write_text(path.read_text() + '{"st\n{"step": 5}\n')  # nothing after a damaged line counts
    assert [row['step'] for row in Lines(path, lambda row: row['step'] <= 2).rows] == [1, 2]
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_files_are_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / 'deep' / 'phase.json'
    write_json(path, {'a': 1})
    monkeypatch.setattr(
        os,
        'fsync',
        lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, 'No space left on device')),
    )
    with pytest.raises(UsageError, match='the disk is full.*run the same command again'):
        write_json(path, {'a': 2})
    assert json.loads(path.read_text()) == {'a': 1} and len(list(path.parent.iterdir())) == 1


def test_what_a_killed_process_had_begun_to_write_is_removed(tmp_path, monkeypatch):
    path = tmp_path / 'phases' / 'evolve.json'
    write_json(path, {'a': 1})

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', killed)
    monkeypatch.setattr(pathlib.Path, 'unlink', killed)  # nothing cleans up after a kill
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {'a': 2})
    monkeypatch.undo()
    (tmp_path / 'checkpoints' / '.3.tmp').mkdir(parents=True)
    assert len(list(tmp_path.rglob('.*.tmp'))) == 2
    remove_unfinished(tmp_path)
    assert not list(tmp_path.rglob('.*.tmp')) and json.loads(path.read_text()) == {'a': 1}


def test_a_finished_phase_is_not_computed_again(tmp_path):
    calls = []
    path = tmp_path / 'phase.json'
    assert phase(path, lambda: calls.append(1) or {'x': (1, 2)}) == {'x': [1, 2]}
    assert phase(path, lambda: calls.append(1)) == {'x': [1, 2]} and len(calls) == 1
    path.write_text('{"x": [1')  # damaged: replayed
    assert phase(path, lambda: {'x': [1, 2]}) == {'x': [1, 2]}


@pytest.mark.parametrize(
    'error, words',
    [
        (OSError(errno.ENOSPC, 'No space left on device'), 'the disk is full'),
        (OSError(errno.EDQUOT, 'Disk quota exceeded'), 'the disk is full'),
        (ValueError('RESOURCE_EXHAUSTED: writing'), 'the disk is full'),
        (PermissionError(errno.EACCES, 'Permission denied'), 'no permission to write'),
        (OSError(errno.EROFS, 'Read-only file system'), 'no permission to write'),
    ],
)
def test_what_the_disk_refuses_is_one_line_also_where_a_library_wraps_it(error, words, tmp_path):
    for cause in (None, error):
        with pytest.raises(UsageError, match=words) as found, disk_errors(tmp_path / 'file'):
            if cause is None:
                raise error
            raise RuntimeError('from the library') from cause
        assert '\n' not in str(found.value)
    with pytest.raises(KeyError), disk_errors(tmp_path):
        raise KeyError('not the disk')


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    for name, words in (
        ('file', 'is a file'),
        ('file/below/it', 'is a file'),
        ('x' * 300, 'cannot be a folder: File name too long'),
        ('a\0b', 'null character'),
    ):
        with pytest.raises(UsageError, match=words):
            check_folder(tmp_path / name)
    with pytest.raises(UsageError, match='is a bucket: mount it'):
        check_folder(pathlib.Path('gs://bucket/run'))
    check_folder(tmp_path / 'new' / 'one')
    assert [path.name for path in tmp_path.iterdir()] == ['file']
    monkeypatch.setattr(os, 'access', lambda *_: False)
    with pytest.raises(UsageError, match=f'no permission to write in {tmp_path}'):
        check_folder(tmp_path / 'new')
