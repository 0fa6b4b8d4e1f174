"""The costs of an architecture by name, and one of the user's own."""

import pathlib

import pytest
from runs import config

from s4jax import costs, pipeline
from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.run import identity, prepare
from s4jax.runtime.signals import Signals


@pytest.fixture
def phone(tmp_path):
    """The time on a phone, from a lookup table of a block by its heads."""
    path = tmp_path / 'phone.py'
    path.write_text(
        'MS = {1: 0.5, 2: 0.8, 3: 1.0, 4: 1.3}\n\n\n'
        'def cost(architecture):\n'
        '    return sum(MS[heads] for heads in architecture.num_heads)\n'
    )
    return path


def task_of(workdir, **changes):
    with Signals() as signals:
        return prepare(config(**changes), workdir, signals)[0]


def test_the_usual_costs_are_those_of_the_family(tmp_path):
    task = task_of(tmp_path / 'run')
    arch = task.architecture(task.space.smallest())
    assert task.cost(arch) == {'params': vit.params(arch), 'macs': vit.macs(arch)}


def test_a_cost_of_ones_own_limits_the_search(phone, tmp_path):
    given = dict(budget__params=None, budget__own=4.0, cost__file=str(phone))
    task = task_of(tmp_path / 'run', **given)
    arch = task.architecture(task.space.largest())
    assert task.cost(arch)['own'] == pytest.approx(4 * 1.3)
    first = pipeline.first_space(task)  # 5.2 ms are over 4: it begins in a space that fits
    assert 0 < first.largest['own'] < 4
    assert identity(task)['cost digest'] == costs.digest(str(phone))
    before = identity(task)
    phone.write_text(phone.read_text().replace('0.8', '0.9'))
    assert identity(task) != before  # another cost is another run
    assert 'cost.file' not in before  # where the file lies is free


@pytest.mark.parametrize(
    'text, words',
    [
        (None, 'is no file'),
        ('def cost(', 'SyntaxError'),
        ('import nothing_of_that_name', 'ModuleNotFoundError'),
        ('price = 1', r'no function cost\(architecture\)'),
        ('def cost(a): return a.legs', 'AttributeError'),
        ('def cost(a): return float("nan")', 'is nan'),
        ('def cost(a): return -1', 'is -1.0'),
        ('def cost(a): return "much"', 'ValueError'),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(text, words, tmp_path):
    path = tmp_path / 'own.py'
    if text is not None:
        path.write_text(text)
    arch = vit.Architecture(
        image_size=8, classes=2, patch=4, embed_dim=8, depth=1, num_heads=(1,), mlp_ratio=(1,)
    )
    with pytest.raises(UsageError, match=words) as caught:
        costs.of_file(str(path))(arch)
    assert '\n' not in str(caught.value) and str(path) in str(caught.value)


def test_a_limit_without_a_function():
    with pytest.raises(UsageError, match='config.cost.file'):
        config(budget__own=3.0)


def test_no_latency_is_measured_unless_it_is_limited(tmp_path):
    task = task_of(tmp_path / 'run')
    costs.keep(task.costs, pathlib.Path('nowhere'))
    assert 'latency_ms' not in task.costs
