"""A user's mistakes: one clear line, at once, no traceback, nothing lost."""

import json
import subprocess
import sys

import pytest
from runs import ROOT, command, config, load, run

from s4jax import data
from s4jax import run as job
from s4jax.errors import UsageError
from s4jax.runtime.signals import Signals

DIGITS = ['--config=configs/digits.py']


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'budgt': {}}, 'config.budgt is unknown; did you mean budget?'),
        ({'explore__piars': 3}, 'config.explore.piars is unknown; did you mean pairs?'),
        ({'budget__parms': 3e6}, 'config.budget.parms is unknown; did you mean params?'),
        ({'augment__mxup': 0.1}, 'config.augment.mxup is unknown; did you mean mixup?'),
        (
            {'space__embed_dim__steps': 2},
            'config.space.embed_dim.steps is unknown; did you mean step?',
        ),
        (
            {'space__emded_dim': dict(lower=1, upper=2, step=1)},
            "config.space: the dimension='emded_dim' must be one of 'embed_dim'",
        ),
        ({'family': 'vitt'}, "config.family='vitt' must be one of 'shunted', 'swin', 'vit'"),
        (
            {'supernet__execution': 'fast'},
            "config.supernet.execution='fast' must be one of 'auto', 'masked', 'sliced'",
        ),
        ({'dtype': 'float16'}, "config.dtype='float16' must be one of 'float32', 'bfloat16'"),
        ({'explore__pairs': 0}, 'config.explore.pairs=0 must be a whole number of at least 1'),
        ({'evolve__population': 2.5}, 'config.evolve.population=2.5 must be a whole number'),
        ({'supernet__lr': -1.0}, 'lr=-1.0 is out of range'),
        (
            {'space__embed_dim__upper': 30},
            'space.embed_dim: upper=30 is not on the grid of lower=16 and step=8; the nearest value that is: 32',
        ),
        ({'budget__params': -5.0}, 'budget.params=-5.0 must be positive'),
        ({'model__image_size': 9}, 'image_size=9 is not a multiple of patch=2'),
        ({'baseline__embed_dim': 40}, 'config.baseline is over the budget (params '),
        ({'supernet__batch_size': 4000}, 'batch_size=4000 exceeds the 997 training images'),
        ({'evaluate__batch_size': 0}, 'config.evaluate.batch_size=0 must be'),
        ({'augment__rand_augment': 'x9'}, 'rand_augment'),
    ],
)
def test_configs_that_are_wrong_are_told_before_anything_is_written(changes, words, tmp_path):
    with pytest.raises(UsageError) as told:
        job.Job.create(config(**changes), tmp_path / 'run', Signals()).claim()
    assert words in str(told.value)
    assert not (tmp_path / 'run').exists()


def test_every_config_is_sound():
    for path in sorted((ROOT / 'configs').glob('*.py')):
        job.check_config(load(path))
    job.check_config(load(ROOT / 'configs' / 'clip.py', ':smoke'))


def test_a_workdir_of_another_run_is_told_with_what_differs(tmp_path):
    loaded = data.load(name='digits', seed=0, search=400, test=400)
    job.claim(tmp_path / 'run', config(), loaded)
    job.claim(
        tmp_path / 'run', config(checkpoint__save_every=7), loaded
    )  # cadence is free to change
    with pytest.raises(
        UsageError,
        match=r'belongs to another run \(evolve.population: 20 there, 9 here; seed: 0 there, 1 here\)',
    ):
        job.claim(tmp_path / 'run', config(evolve__population=9, seed=1), loaded)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'thesis.tex').write_text('')
    with pytest.raises(UsageError, match='holds other files and no run'):
        job.claim(tmp_path / 'other', config(), loaded)


@pytest.mark.parametrize(
    'arguments, words',
    [
        ([], '--config is missing'),
        (DIGITS, '--workdir is missing'),
        (
            ['--config=configs/digit.py', '--workdir=W'],
            '--config=configs/digit.py does not exist; did you mean configs/digits.py?',
        ),
        ([*DIGITS, '--workdir=W', '--config.evolve.populaton=3'], 'did you mean population?'),
        ([*DIGITS, '--workdir=W', '--config.evolve.population=3.7'], 'invalid literal for int'),
        ([*DIGITS, '--workdir=W', '--confg.seed=1'], "Unknown command line flag 'confg.seed'"),
        ([*DIGITS, '--workdir=W', 'stray'], "'stray' is no flag"),
        (
            [*DIGITS, '--workdir=W', '--config.budget.params=2e3'],
            'no space that can be reached fits the budget: the smallest has a largest model of params ',
        ),
    ],
)
def test_command_lines_that_are_wrong(arguments, words, tmp_path):
    arguments = [a.replace('=W', f'={tmp_path}/run') for a in arguments]
    told = run([sys.executable, '-m', 's4jax.main', *arguments])
    assert told.returncode == 2 and words in told.stderr, told.stderr
    assert told.stderr.startswith('s4jax: ') and len(told.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / 'run').glob('checkpoints/*'))


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path):
    """A real, small file system that fills up while the supernet trains."""
    mount = tmp_path / 'small'
    mount.mkdir()
    made = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=1200k', 'tmpfs', str(mount)], capture_output=True
    )
    limit = 'a small file system' if made.returncode == 0 else 'a limit on the size of a file'
    try:
        if made.returncode == 0:
            told = run(command(mount / 'run', checkpoint__save_every=1))
        else:  # without the right to mount: no file may grow beyond some kilobytes
            told = run(
                [
                    'bash',
                    '-c',
                    'trap "" XFSZ; ulimit -f 64; exec "$@"',
                    'bash',
                    *command(mount / 'run'),
                ]
            )
        assert told.returncode == 2 and 'Traceback' not in told.stderr, (limit, told.stderr)
        assert 'the disk is full' in told.stderr and 'run the same command again' in told.stderr
    finally:
        if made.returncode == 0:
            subprocess.run(['umount', str(mount)], check=True)


def test_a_damaged_compiled_program_is_compiled_again(tmp_path):
    code = (
        'import sys, pathlib, jax; from s4jax import main; cache = pathlib.Path(sys.argv[1]); '
        'jax.config.update("jax_compilation_cache_dir", str(cache)); '
        'jax.config.update("jax_persistent_cache_min_compile_time_secs", 0); '
        'jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1); main.forget_damaged(cache); '
        'print(jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3)))[0, 0])'
    )
    arguments = [sys.executable, '-c', code, str(tmp_path)]
    assert run(arguments).stdout == '4.0\n'
    entries = list(tmp_path.glob('*-cache'))
    assert entries
    for entry in entries:
        entry.write_bytes(b'damaged')
    second, third = run(arguments), run(arguments)
    assert second.stdout == third.stdout == '4.0\n'
    assert 'damaged compiled program' in second.stderr and not third.stderr


def test_counts_on_the_command_line(vit_rows, tmp_path):
    path = tmp_path / 'rows.json'
    path.write_text(json.dumps(vit_rows))
    told = run([sys.executable, '-m', 's4jax.count', f'--architecture={path}'])
    assert [json.loads(line) for line in told.stdout.splitlines()] == [
        {'params': row['params'], 'macs': row['macs']} for row in vit_rows
    ]
    path.write_text(json.dumps(vit_rows[0]))
    assert (
        len(
            run([sys.executable, '-m', 's4jax.count', f'--architecture={path}']).stdout.splitlines()
        )
        == 1
    )
    for text, words in (
        ('{', 'is no JSON'),
        ('{"family": "vot"}', "family='vot' is unknown"),
        ('[3]', 'must hold an object'),
    ):
        path.write_text(text)
        told = run([sys.executable, '-m', 's4jax.count', f'--architecture={path}'])
        assert told.returncode == 2 and words in told.stderr and 'Traceback' not in told.stderr
    assert (
        'No such file'
        in run([sys.executable, '-m', 's4jax.count', '--architecture=nowhere.json']).stderr
    )
