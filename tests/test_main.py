"""The command: a user's mistakes in one line, at once, without a traceback, and nothing lost."""

import os
import subprocess
import sys

import pytest
from runs import ROOT, command, run

from s4jax import main, pipeline

DIGITS = f'--config={ROOT / "configs" / "digits.py"}'


@pytest.mark.parametrize(
    'arguments, words',
    [
        ([], '--config is missing'),
        ([DIGITS], '--workdir is missing'),
        ([DIGITS, '--workdir='], '--workdir is missing'),
        ([DIGITS, '--workdir'], '--workdir needs a value'),
        (['--workdir', DIGITS], '--workdir needs a value'),
        ([DIGITS, '--workdir=W', '--config.seed'], '--config.seed needs a value'),
        ([DIGITS, '--config.seed', '--workdir=W'], '--config.seed needs a value'),
        ([DIGITS, '--workdir=W', '--config..seed=1'], 'a key is written as in'),
        ([DIGITS, '--workdir=W', '--config.evolve.populaton=3'], 'did you mean population?'),
        ([DIGITS, '--workdir=W', '--config.evolve.population=3.7'], 'must be a whole number'),
        ([DIGITS, '--workdir=W', '--config.evolve=3'], 'config.evolve='),
        ([DIGITS, '--workdir=W', '--config.seed.x=3'], 'config.seed is a value'),
        ([DIGITS, '--workdir=W', '--confg.seed=1'], '--confg.seed is unknown'),
        ([DIGITS, '--workdir=W', '--workdr=1'], '--workdr is unknown; did you mean --workdir?'),
        ([DIGITS, '--workdir=W', 'stray'], "'stray'"),
        ([DIGITS, '--workdir=W', '--processes=2'], '--processes needs --coordinator and --process'),
        ([DIGITS, '--workdir=W', '--coordinator=a:1'], '--coordinator needs --processes and'),
        ([DIGITS, '--workdir=W', '--processes=two'], '--processes'),
        (
            [DIGITS, '--workdir=W', '--coordinator=a:1', '--processes=2', '--process=2'],
            '--process=2 must be from 0 to 1',
        ),
        (
            [DIGITS, '--workdir=W', '--coordinator=a', '--processes=2', '--process=1'],
            '--coordinator=a must be HOST:PORT',
        ),
        (
            [DIGITS, '--workdir=W', '--coordinator=a:1', '--processes=0', '--process=0'],
            '--processes=0 must be from 1',
        ),
        (
            [
                *(DIGITS, '--workdir=W', '--distributed'),
                *('--coordinator=a:1', '--processes=2', '--process=1'),
            ],
            'leave out --coordinator',
        ),
        ([DIGITS, '--workdir=F'], 'is a file; name another folder'),
        ([DIGITS, '--workdir=F/below'], 'is a file; name another folder'),
        ([DIGITS, f'--workdir={"x" * 5000}'], 'cannot be a folder: File name too long'),
        ([DIGITS, '--workdir=a\0b'], '--workdir has a null character'),
        ([DIGITS, '--workdir=gs://bucket/run'], 'is a bucket: mount it'),
        (
            [DIGITS, '--workdir=W', '--config.budget.params=2k'],
            'the smallest',
        ),
        ([DIGITS, '--workdir=W', '--config.data.name=digit'], 'digits'),
        (
            [DIGITS, '--workdir=W', '--config.data.name=folder'],
            "root='' is missing where name='folder'",
        ),
    ],
)
def test_command_lines_that_are_wrong(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, 'fit_supernet', lambda *_: pytest.fail('it trains'))
    (tmp_path / 'file').write_text('')
    places = {'=W': f'={tmp_path}/run', '=F': f'={tmp_path}/file'}
    for short, path in places.items():
        arguments = [a.replace(short, path) if a.startswith('--workdir') else a for a in arguments]
    assert main.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.startswith('s4jax: ') and error.count('\n') == 1, error
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file']


def test_started_for_real_a_mistake_is_one_line(tmp_path):
    """With a cold start: nothing that the process does before or after adds a line."""
    cases = [
        (['--config.augment.erasing=2'], {}, 'config.augment.erasing='),
        ([], {'JAX_PLATFORMS': 'cuda'}, 'JAX_PLATFORMS=cuda names a platform that is not install'),
    ]
    for extra, environment, words in cases:
        arguments = [sys.executable, '-m', 's4jax.main', DIGITS, f'--workdir={tmp_path}/run']
        done = run([*arguments, *extra], **environment)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert done.stderr.count('\n') == 1 and 'Traceback' not in done.stderr, done.stderr
        assert not (tmp_path / 'run').exists()


def test_a_workdir_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, 'access', lambda *_: False)  # root may write anywhere
    assert main.main([DIGITS, f'--workdir={tmp_path}/run']) == 2
    assert f'no permission to write in {tmp_path}' in capsys.readouterr().err


def test_help_lists_commands_and_every_key(capsys):
    assert main.main(['--help']) == 0
    text = capsys.readouterr().out
    assert 'python -m s4jax.count' in text and 'docs/config.md' in text and '--workdir' in text
    assert main.main([DIGITS, '--help', '--config.evolve.population=77']) == 0
    text = capsys.readouterr().out
    assert 'config.evolve.population = 77' in text and 'config.space.embed_dim.tau = None' in text
    assert 'a whole number from 1 to' in text


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path):
    """A real, small file system that fills up while the supernet trains."""
    mount = tmp_path / 'small'
    mount.mkdir()
    made = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=1200k', 'tmpfs', str(mount)], capture_output=True
    )
    try:
        if made.returncode == 0:
            done = run(command(mount / 'run', checkpoint__save_every=1))
        else:  # without the right to mount: no file may grow beyond some kilobytes
            limit = 'trap "" XFSZ; ulimit -f 64; exec "$@"'
            done = run(['bash', '-c', limit, 'bash', *command(mount / 'run')])
        assert done.returncode == 2 and 'Traceback' not in done.stderr, done.stderr
        assert 'the disk is full' in done.stderr and 'run the same command again' in done.stderr
    finally:
        if made.returncode == 0:
            subprocess.run(['umount', str(mount)], check=True)


CACHED = """
import pathlib, sys, jax
from s4jax.runtime import cache
cache.use_cache(pathlib.Path(sys.argv[1]))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
print(jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3)))[0, 0])
"""


def test_a_damaged_compiled_program_is_compiled_again(tmp_path):
    arguments = [sys.executable, '-c', CACHED, str(tmp_path)]
    assert run(arguments).stdout == '4.0\n'
    entries = list(tmp_path.glob('*-cache'))
    assert entries
    for entry in entries:
        entry.write_bytes(b'damaged')
    second, third = run(arguments), run(arguments)
    assert second.stdout == third.stdout == '4.0\n'
    assert 'damaged compiled program' in second.stderr and not third.stderr


def test_a_cache_that_cannot_be_written_is_not_called_damaged(tmp_path):
    (tmp_path / 'file').write_text('')
    done = run([sys.executable, '-c', CACHED, str(tmp_path / 'file' / 'cache')])
    assert done.stdout == '4.0\n' and 'damaged' not in done.stderr
    assert 'compiled programs are not kept: set JAX_COMPILATION_CACHE_DIR' in done.stderr
