"""`python -m s4jax.compare`: what it refuses, and a small comparison, stopped and resumed."""

import json
import signal
import subprocess
import sys
import time

import pytest
import runs
from runs import ROOT, TINY, hashes, run

from s4jax import compare
from s4jax.errors import UsageError

SMALLER = TINY | {'s3.iterations': 1, 's3.samples': 8, 'explore.pairs': 2}


def command(workdir, *more, methods='s4,s3,random,largest', seeds='0'):
    return [
        sys.executable,
        '-m',
        's4jax.compare',
        '--config=configs/digits.py',
        f'--methods={methods}',
        f'--seeds={seeds}',
        f'--workdir={workdir}',
        *(f'--config.{key}={value}' for key, value in SMALLER.items()),
        *more,
    ]


@pytest.mark.parametrize(
    'flags, words',
    [
        (['--methods=s4,s5'], 's5 is unknown'),
        (['--methods=s4,s4'], 'each once'),
        (['--methods='], 'must name methods'),
        (['--seeds=4-0'], 'must ascend'),
        (['--seeds=a'], 'must be written as 0-4'),
        (['--seeds=0-5000'], 'at most 1000 seeds'),
        (['--jobs=0'], 'must be from 1'),
        (['--config.seed=3'], 'set by --methods and --seeds'),
        (['--config.search.method=s3'], 'set by --methods and --seeds'),
        (['--config.evolve.population=0'], 'config.evolve.population=0'),
        (['--config.s3.quantum=0.1,0.2'], 'config.s3.quantum'),
        (['--workers=3'], '--workers is unknown'),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_run(flags, words, tmp_path, capsys):
    given = ['--config=configs/digits.py', f'--workdir={tmp_path / "new"}']
    assert compare.main([*given, *flags]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count('\n') == 1
    assert not (tmp_path / 'new').exists()


def test_seeds_are_ranges_and_lists():
    assert compare.seeds_of('0-2,7,1') == [0, 1, 2, 7]
    with pytest.raises(UsageError):
        compare.seeds_of('')


@pytest.fixture(scope='module')
def compared(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('compare') / 'digits'
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    return workdir, done


def read(workdir, method):
    return json.loads((workdir / method / 'seed-0' / 'result.json').read_text())


@pytest.mark.slow
def test_every_method_leaves_a_run_and_the_tables_hold_them(compared):
    workdir, done = compared
    for label in ('S4', 'S3', 'random', 'largest that fits'):
        assert f'| {label} |' in done.stdout
    assert done.stdout.strip() == (workdir / 'comparison.md').read_text().strip()
    wrong = json.loads((workdir / 's4/seed-0/phases/test.json').read_text())['wrong']['winner']
    result = read(workdir, 's4')['winner']
    assert result['correct'] == result['images'] - len(set(wrong))
    random = json.loads((workdir / 'random/seed-0/phases/evolve.json').read_text())
    assert {m['origin'] for m in random['members']} == {'random'}
    assert len(random['members']) == 6 * 2  # as many as the evolution scores


@pytest.mark.slow
def test_what_methods_have_in_common_is_trained_once(compared):
    workdir, _ = compared
    digests = {
        method: json.loads((workdir / method / 'seed-0/phases/supernet_0.json').read_text())
        for method in ('s4', 's3', 'random')
        if read(workdir, method)['trajectory'][0] == read(workdir, 'random')['trajectory'][0]
    }
    assert len({row['digest'] for row in digests.values()}) == 1 and len(digests) >= 2
    rows = [
        json.loads(line)
        for line in (workdir / 'random/seed-0/timing.jsonl').read_text().splitlines()
    ]
    assert [row['phase'] for row in rows if row.get('shared')] == ['supernet_0', 'baseline']
    spent = read(workdir, 'random')['spent']
    assert spent['trained'] == digests['random']['images'] > 0
    assert spent['scored'] == 12 * 400 and spent['scored_over'] == 0


@pytest.mark.slow
def test_the_largest_has_no_search_and_fits(compared):
    workdir, _ = compared
    result = read(workdir, 'largest')
    assert result['spent']['trained'] == result['spent']['scored'] == 0
    assert result['evolution'] is None and result['winner']['costs']['params'] <= 32_000
    assert not list((workdir / 'largest/seed-0/phases').glob('supernet*'))
    assert (workdir / 'largest/seed-0/report.html').exists()


@pytest.mark.slow
def test_a_run_of_its_own_finds_the_same_as_one_with_shared_trainings(compared, tmp_path):
    workdir, _ = compared
    theirs = workdir / 'random' / 'seed-0'
    row = json.loads((theirs / 'config.json').read_text())['config']
    assert row['search']['method'] == 'random'
    alone = run(runs.command(tmp_path / 'alone', base=SMALLER, search__method='random'))
    assert alone.returncode == 0, alone.stderr
    assert hashes(tmp_path / 'alone') == hashes(theirs)


@pytest.mark.slow
def test_stopped_and_run_again_it_ends_with_the_same_runs(compared, tmp_path):
    workdir, _ = compared
    ours = tmp_path / 'digits'
    process = subprocess.Popen(
        command(ours, methods='random,largest'), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not (ours / 'random' / 'seed-0' / 'config.json').exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM and 'run the same command again' in error
    assert not (ours / 'random' / 'seed-0' / 'result.json').exists()
    done = run(command(ours, methods='random,largest'))
    assert done.returncode == 0, done.stderr
    for method in ('random', 'largest'):
        assert hashes(ours / method / 'seed-0') == hashes(workdir / method / 'seed-0')


@pytest.mark.slow
def test_another_config_in_the_same_folder_is_refused_and_named(compared):
    workdir, _ = compared
    before = (workdir / 's4' / 'seed-0' / 'result.json').read_bytes()
    done = run(command(workdir, '--config.retrain.epochs=2', methods='s4'))
    assert done.returncode == 1
    assert 's4, seed 0: exit code 2' in done.stderr and 'retrain.epochs' in done.stderr
    assert (workdir / 's4' / 'seed-0' / 'result.json').read_bytes() == before
