"""Another budget from the same search: recorded supernets are searched again, none is trained."""

import json
import shutil
import signal

import pytest
from runs import command, hashes, read, run

from s4jax import recorded
from s4jax.errors import UsageError


def again(source, workdir, *more):
    """The command line that searches a tiny run again."""
    return [*command(workdir, base={})[:3], f'--from={source}', f'--workdir={workdir}', *more]


@pytest.mark.parametrize(
    'config, words',
    [
        (None, 'holds no run'),
        ({'identity': {}}, 'holds no run'),
        ({'config': {'search': {'source': 'runs/first'}}}, 'write --from=runs/first'),
    ],
)
def test_folders_that_hold_no_search(config, words, tmp_path):
    if config is not None:
        (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UsageError, match=words):
        recorded.config_values(str(tmp_path))


def test_a_run_without_supernets(tmp_path):
    config = {'config': {'search': {'method': 'largest'}}, 'identity': {}}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UsageError, match='is not finished'):
        recorded.read(str(tmp_path))
    (tmp_path / 'trajectory.json').write_text('[{}]')
    with pytest.raises(UsageError, match='no supernet .search.method=largest'):
        recorded.read(str(tmp_path))


@pytest.mark.slow
def test_another_budget_trains_no_supernet_and_goes_on_to_the_byte(tiny_run, tmp_path):
    source, _ = tiny_run
    first = read(source / 'result.json')
    limit = first['winner']['costs']['params'] - 1  # another winner is needed
    more = (f'--config.budget.params={limit}', '--front=3', '--config.evolve.generations=1')
    whole = run(again(source, tmp_path / 'whole', *more))
    assert whole.returncode == 0, whole.stderr
    result = read(tmp_path / 'whole' / 'result.json')
    assert result['winner']['costs']['params'] <= limit
    assert result['trajectory'] == first['trajectory']
    for path in source.glob('phases/supernet_*.json'):
        assert read(tmp_path / 'whole' / 'phases' / path.name) == read(path)
    begun = [row for row in map(json.loads, (tmp_path / 'whole' / 'timing.jsonl').open())]
    assert not any('supernet' in str(row.get('phase')) for row in begun)
    members = read(tmp_path / 'whole' / 'phases' / 'front.json')['members']
    assert 1 <= len(members) <= 3
    assert all(m['costs']['params'] <= limit for m in members)
    assert 'Accuracy against size' in (tmp_path / 'whole' / 'report.html').read_text()

    moment = 'phase:front:0.5:SIGKILL'
    program, _, _, *flags = again(source, tmp_path / 'killed', *more)
    killed = run([program, 'tests/interrupt.py', moment, *flags])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    moved = tmp_path / 'moved'  # the folder of the first run may have another name by then
    shutil.copytree(source, moved)
    resumed = run(again(moved, tmp_path / 'killed', *more))
    assert resumed.returncode == 0, resumed.stderr
    ours, theirs = hashes(tmp_path / 'killed'), hashes(tmp_path / 'whole')
    del ours['config.json'], theirs['config.json']  # it names the folder
    page = {'report.html'}  # and so does the list of all settings
    assert {n: h for n, h in ours.items() if n not in page} == {
        n: h for n, h in theirs.items() if n not in page
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    'override, words',
    [
        ('--config.budget.params=900', 'no architecture of the'),
        ('--config.supernet.lr=0.01', 'trained with supernet.lr='),
        ('--config.space.depth.upper=3', 'space.depth.upper=2'),
    ],
)
def test_what_the_recorded_supernets_cannot_be_asked(tiny_run, override, words, tmp_path):
    source, _ = tiny_run
    done = run(again(source, tmp_path / 'run', override))
    assert done.returncode == 2 and words in done.stderr and done.stderr.count('\n') == 1
    assert not (tmp_path / 'run').exists()
