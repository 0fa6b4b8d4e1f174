"""What is read of a run that is under way, and of damaged files."""

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.report import page
from s4jax.report.reading import Curve, order, read, read_curve, so_far
from s4jax.search.space import SearchSpace


def test_a_finished_run_is_read_whole(workdir, result):
    run = read(workdir)
    assert run.result == result and run.trajectory == result.trajectory
    assert run.evolution.best.choices == result.choices == run.choices
    assert run.evolution.best.architecture.to_json() == result.winner.architecture
    assert [step.space for step in run.steps] == [v.space for v in run.trajectory[1:]]
    assert run.finished == (
        *('supernet_0', 'explore_0', 'supernet_1', 'explore_1', 'supernet_2', 'evolve'),
    )
    assert list(run.losses) == ['supernet_0', 'supernet_1', 'supernet_2', 'retrain', 'baseline']
    assert run.budget == result.budget  # a cost without a limit is left out
    assert run.sizes['params'] == [visited.largest['params'] for visited in run.trajectory]
    assert [d.name for d in run.ranges['depth']] == ['depth'] * 3
    assert run.used['depth'] == (result.choices['depth'],)
    assert run.used['num_heads'] == result.choices['num_heads']


def test_the_trajectory_of_a_run_under_way_is_that_of_its_steps(workdir):
    """All but what no step knows: the costs of the first space, and the move that led to it."""
    run = read(workdir)
    first, *later = so_far(run.steps)
    assert first.space == run.trajectory[0].space and first.largest == {}
    assert tuple(later) == run.trajectory[1:]
    assert so_far(()) == ()


@pytest.mark.parametrize('part', [0, 1, 2])
def test_unfinished_run(tmp_path, workdir, parsed, part):
    """What is not there yet is left out: after the config, after a step, before the retraining."""
    names = [
        ['config.json'],
        ['metrics/supernet_0.jsonl', 'phases/explore_0.json'],
        ['phases/evolve.json', 'metrics/retrain.jsonl'],
    ]
    for name in sum(names[: part + 1], []):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    if part == 1:
        with open(tmp_path / 'metrics/supernet_0.jsonl', 'a') as file:
            file.write('{"step": 401, "lo')  # a kill while a line is written
        (tmp_path / 'metrics/supernet_1.jsonl').write_text('')
    page.write(tmp_path)
    words = str(parsed((tmp_path / 'report.html').read_text()))
    assert 'not finished' in words and 'Hand-made' not in words
    for title, since in (
        ('How the space moved', 1),
        ('The accuracy gradient', 1),
        ('Training', 1),
        ('The evolution', 2),
        ('The architectures', 2),
        ('Settings', 0),
    ):
        assert (title in words) == (part >= since), title
    assert not (tmp_path / 'report.png').exists()  # the picture of a finished run


def test_a_step_that_stopped_visits_no_space(tmp_path, workdir):
    for name in ('config.json', 'phases/explore_0.json'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    (tmp_path / 'phases/explore_1.json').write_text('{"slopes": {"nam')  # damaged: left out
    run = read(tmp_path)
    assert len(run.steps) == 1 and len(run.trajectory) == 2
    assert all(isinstance(space, SearchSpace) for space in run.spaces)
    page.write(tmp_path)


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(UsageError, match='holds no run'):
        page.write(tmp_path)


def test_phases_in_the_order_of_the_method():
    method = [
        *('supernet_0', 'explore_0', 'supernet_1', 'explore_1', 'supernet_10', 'evolve'),
        *('retrain', 'baseline', 'test', 'another'),
    ]
    assert sorted(sorted(method), key=order) == method


@pytest.mark.parametrize(
    'end', ['{"step": 3, "lo', '{"step": 3}\n', '[]\n', '{"step": 3, "loss": null}\n']
)
def test_a_curve_ends_before_a_damaged_line(tmp_path, end):
    path = tmp_path / 'retrain.jsonl'
    path.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": NaN}\n' + end)
    curve = read_curve(path)
    assert isinstance(curve, Curve)
    np.testing.assert_array_equal(curve.steps, [1])  # a loss that is not finite is not drawn
    np.testing.assert_array_equal(curve.losses, [2.5])
