"""`python -m s4jax.truth`: what it refuses, and a small run held against the truth, stopped."""

import json
import sys

import pytest
from runs import ROOT, run

from s4jax import truth


@pytest.mark.parametrize(
    'flags, words',
    [
        ([], '--run is missing'),
        (['--run=nowhere', '--workdir=a'], 'nowhere'),
        (['--run=a'], '--workdir is missing'),
        (['--run=a', '--workdir=b', '--repeats=0'], '--repeats=0 must be'),
        (['--run=a', '--workdir=b', '--architectures=many'], "--architectures='many'"),
        (['--run=a', '--workdir=b', '--pairs=1'], '--pairs=1 must be'),
        (['--run=a', '--workdir=b', '--seeds=1'], '--seeds is unknown'),
    ],
)
def test_mistakes_are_one_line(flags, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert truth.main(flags) == 2
    error = capsys.readouterr().err
    assert words in error and error.count('\n') == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_is_held_against_the_truth(tiny_run, tmp_path):
    source, _ = tiny_run
    command = [
        sys.executable, '-m', 's4jax.truth', f'--run={source}', f'--workdir={tmp_path / "truth"}',
        '--architectures=3', '--pairs=2', '--neighbours=1', '--config.retrain.epochs=1',
        '--config.retrain.warmup_epochs=0',
    ]  # fmt: skip
    done = run([*command, '--repeats=1'])
    assert done.returncode == 0, done.stderr
    assert '(chosen)' in done.stdout and 'one training alone' not in done.stdout
    more = run([*command, '--repeats=2', f'--others={source}'])  # it stands for another run
    assert more.returncode == 0, more.stderr
    assert 'one training alone with another' in more.stdout
    assert f"| {source}: the supernet's accuracy, less the run | 0.00 [0.00, 0.00] |" in more.stdout
    rows = [json.loads(line) for line in (tmp_path / 'truth' / 'alone.jsonl').open()]
    keys = [(json.dumps(row['architecture']), row['repeat']) for row in rows]
    assert len(keys) == len(set(keys)) and 6 <= sum(r == 0 for _, r in keys)
    assert sum(repeat == 1 for _, repeat in keys) == 3
    # the supernet is the run's: nothing of it was trained again
    assert not list((tmp_path / 'truth' / 'metrics').glob('alone*'))
    assert (tmp_path / 'truth' / 'truth.md').read_text() == more.stdout
    assert '<h1>The supernet and the truth</h1>' in (tmp_path / 'truth' / 'truth.html').read_text()

    beyond = run([*command, '--space=9'])
    assert beyond.returncode == 2 and '--space=9' in beyond.stderr
    elsewhere = run([*command, '--space=1', f'--others={source},{tmp_path}'])
    assert elsewhere.returncode == 2 and 'is not finished' in elsewhere.stderr
    other = run([*command, '--config.supernet.epochs=2'])
    assert other.returncode == 2 and 'supernet.epochs' in other.stderr
    assert str(ROOT) not in other.stderr.replace(str(source), '')
