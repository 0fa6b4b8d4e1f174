"""The section of the front: its table, its points, the command that trains one."""

import dataclasses
import re

from s4jax.report import drawing
from s4jax.report.reading import read
from s4jax.report.sections.front import front
from s4jax.search.front import Front


def test_points_command_and_table(workdir):
    run = read(workdir)
    assert run.front is None and front(run) == ''
    members = sorted(run.evolution.members[:3], key=lambda m: m.costs['params'])
    run = dataclasses.replace(run, front=Front('params', tuple(members)))
    with drawing.style():
        text = front(run)
    for m in members:
        assert f'{m.costs["params"]:,.15g}' in text and f'{m.accuracy:.2%}' in text
    assert len(re.findall('<title>', text)) == 3  # a point says what it is
    assert f'--config.budget.params={members[1].costs["params"]:.15g}' in text
    assert 'RUN is the folder of this run' in text
