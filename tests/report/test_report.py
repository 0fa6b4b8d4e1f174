"""What a finished run leaves."""

import subprocess
import sys

from runs import ROOT

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
