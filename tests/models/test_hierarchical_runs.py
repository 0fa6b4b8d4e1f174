"""Whole runs of Swin and Shunted, with two stages."""

import json

import pytest
from runs import ROOT, TINY, command, interrupted, run

# the smoke runs in miniature: every phase, a few steps each
SHORT = {
    name: value for name, value in TINY.items() if 'depth' not in name and 'budget' not in name
}


def two_stages(folder, name, **model):
    """A config file: the smoke run without its third stage."""
    path = folder / f'{name}.py'
    path.write_text(f"""
import importlib.util
spec = importlib.util.spec_from_file_location('whole', {str(ROOT / 'configs' / name) + '.py'!r})
whole = importlib.util.module_from_spec(spec)
spec.loader.exec_module(whole)
def get_config():
    config = whole.get_config('smoke')
    del config.space.depth_3, config.baseline.depth_3
    config.model.update({model!r})
    return config
""")
    return path


@pytest.mark.slow
def test_a_swin_run_from_start_to_test_accuracy(tmp_path):
    path = two_stages(tmp_path, 'swin', num_heads=(1, 2))
    changes = dict(explore__iterations=0, budget__params=15e3, baseline__mlp_ratio=1.0)
    done = run(command(tmp_path / 'run', config=path, base=SHORT, **changes))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'run' / 'result.json').read_text())
    assert result['family'] == 'swin' and result['winner']['images'] == 400
    assert 'moved before training, to fit the budget: ' in done.stdout
    assert 'depths [2, ' in done.stdout


@pytest.mark.slow
def test_a_shunted_run_killed_and_resumed_reaches_test_accuracy_by_the_same_supernet(tmp_path):
    """Killed in the supernet's training: BatchNorm's statistics are part of the state."""
    given = dict(
        config=two_stages(tmp_path, 'shunted', num_heads=(2, 4), sr_ratios=(2, 1)),
        base=SHORT,
        explore__iterations=0,
        space__depth_2__upper=1,
        baseline__depth_2=1,
    )
    resumed, whole = tmp_path / 'run', tmp_path / 'whole'
    assert interrupted('phase:supernet_0:0.5:SIGKILL', resumed, **given).returncode == -9
    done = run(command(resumed, **given))
    assert done.returncode == 0, done.stderr
    assert json.loads((resumed / 'result.json').read_text())['winner']['images'] == 400
    assert interrupted('phase:evolve:0:SIGKILL', whole, **given).returncode == -9
    # the first file holds the digest of all variables
    for name in ('phases/supernet_0.json', 'metrics/supernet_0.jsonl'):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
