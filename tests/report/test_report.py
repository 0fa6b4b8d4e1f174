"""What a finished run leaves."""

import shutil
import subprocess
import sys

from runs import ROOT

from s4jax import report
from s4jax.runtime.files import read_json


def test_finish_writes_the_files_of_a_finished_run(workdir, result):
    rows = read_json(workdir / 'result.json')
    assert read_json(workdir / 'trajectory.json') == rows['trajectory']
    assert read_json(workdir / 'architecture.json') == (
        {'family': 'vit'} | rows['winner']['architecture'] | rows['winner']['costs']
    )
    assert rows['winner']['costs'] == result.winner.costs
    assert (workdir / 'report.html').exists() and (workdir / 'report.png').exists()


def test_a_start_does_not_wait_for_matplotlib():
    code = 'import sys, s4jax.report; sys.exit("matplotlib" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0


def test_the_page_of_a_run_under_way_is_renewed(tmp_path, workdir):
    shutil.copy(workdir / 'config.json', tmp_path)
    said = []
    report.renew(tmp_path, said.append)
    assert 'Phases done: none yet' in (tmp_path / 'report.html').read_text() and not said
    shutil.copytree(workdir / 'phases', tmp_path / 'phases')
    report.renew(tmp_path, said.append)
    assert 'explore_1, supernet_2, evolve' in (tmp_path / 'report.html').read_text() and not said


def test_a_page_that_cannot_be_made_ends_no_run(tmp_path):
    said = []
    report.renew(tmp_path, said.append)
    (line,) = said
    assert line.startswith('report.html is not renewed (UsageError: ') and 'holds no run' in line
