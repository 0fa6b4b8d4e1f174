"""A run's identity: whose workdir it is, what may differ, what is searched."""

import json

import pytest
from runs import config

from s4jax import run
from s4jax.errors import UsageError
from s4jax.runtime.signals import Signals


def task_of(workdir, **changes):
    return run.prepare(config(**changes), workdir, Signals())


def test_a_workdir_of_another_run_is_refused_with_what_differs(tmp_path):
    workdir = tmp_path / 'run'
    run.claim(task_of(workdir)[0], workdir)
    written = (workdir / 'config.json').read_bytes()
    cadence, _ = task_of(workdir, checkpoint__save_every=7)  # free to change
    run.claim(cadence, workdir)
    run.claim(task_of(workdir)[0], workdir)
    assert (workdir / 'config.json').read_bytes() == written
    other, _ = task_of(workdir, evolve__parents=9, seed=1)
    with pytest.raises(UsageError) as error:
        run.claim(other, workdir)
    for words in ('belongs to another run (', 'evolve.parents: 5 there, 9 here', 'seed: 0 there'):
        assert words in str(error.value)
    assert (workdir / 'config.json').read_bytes() == written


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('')
    with pytest.raises(UsageError, match='holds other files and no run'):
        run.claim(task_of(tmp_path)[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_what_is_claimed_is_written_down(tmp_path):
    task, session = task_of(tmp_path / 'run')
    run.claim(task, session.workdir)
    known = json.loads((session.workdir / 'config.json').read_text())
    assert known['config']['evolve']['population'] == 20
    assert known['config']['augment']['scale'] == [0.08, 1.0]  # a default that the file leaves out
    stored = {'class_names': list('0123456789'), 'storage_size': 8}
    assert known['data'] == task.data.facts | stored and known['data']['classes'] == 10
    splits = json.loads((session.workdir / 'splits.json').read_text())
    assert splits == task.data.splits
    assert {name: len(indices) for name, indices in splits.items()} == {
        'train': 997,
        'search': 400,
        'test': 400,
    }


def test_the_hand_made_model_may_have_a_value_for_each_block(tmp_path):
    task, _ = task_of(tmp_path, baseline__num_heads=[1, 2, 3, 4], baseline__mlp_ratio=2)
    assert task.baseline.num_heads == (1, 2, 3, 4) and task.baseline.mlp_ratio == (2, 2, 2, 2)
    other, _ = task_of(tmp_path, baseline__head_dim=4)  # a size of its own, which is not searched
    assert other.baseline.head_dim == 4
    assert other.architecture(other.space.largest()).head_dim == 8


@pytest.mark.parametrize('budget', [20e3, 60e3, 200e3])
def test_without_a_hand_made_model_the_largest_scaled_stock_shape_that_fits(tmp_path, budget):
    task, _ = task_of(tmp_path, baseline=None, budget__params=budget)
    assert 0.4 * budget < task.cost(task.baseline)['params'] <= budget
    assert task.given_baseline is None and set(task.baseline.mlp_ratio) == {4}
    heads = set(task.baseline.num_heads).pop()
    assert abs(heads - task.baseline.embed_dim / 8) <= 1  # heads of 8 fill the width


def test_a_hand_made_model_over_the_budget_gives_way_and_is_named(tmp_path, capsys):
    task, _ = task_of(tmp_path, budget__params=30e3)
    assert task.cost(task.baseline)['params'] <= 30e3
    run.claim(task, tmp_path / 'run')
    assert 'config.baseline is over the budget: the hand-made' in capsys.readouterr().err
    given, _ = task_of(tmp_path / 'other')
    run.claim(given, tmp_path / 'other')
    assert given.baseline == given.given_baseline and capsys.readouterr().err == ''


def test_the_work_of_every_phase(tmp_path):
    task, session = task_of(tmp_path)
    assert session.progress.plan == {
        **{f'supernet_{t}': 623 * 32 for t in range(4)},
        **{f'explore_{t}': 2 * 40 * 4 * 400 for t in range(3)},
        'evolve': 20 * 8 * 400,
        'retrain': 1091 * 32,
        'baseline': 1091 * 32,
        'test': 2 * 400,
    }
