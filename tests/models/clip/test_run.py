"""A whole run beside a frozen encoder, interrupted and not, and what it leaves."""

import json

import pytest
from runs import check_winner, command, interrupted, run, same, untimed

SMOKE = 'configs/clip.py:smoke'
SHORT = dict(
    explore__iterations=0, budget__params=45e3, evaluate__batch_size=100, baseline__depth=1
)


@pytest.mark.slow
def test_a_run_with_an_encoder_interrupted_and_not(tmp_path):
    """Killed amid the encoder's states, stopped in the last stage."""
    whole = tmp_path / 'whole'
    done = run(command(whole, SMOKE, **SHORT))
    assert done.returncode == 0, done.stderr
    check_winner(whole)
    result = json.loads((whole / 'result.json').read_text())
    assert 'RANDOM WEIGHTS, never trained (no accuracy here says anything of CLIP)' in done.stdout
    assert 'random weights and was never trained' in (whole / 'report.html').read_text()
    probe = result['references']['probe']
    assert probe['images'] == 400
    assert probe['accuracy'] == probe['correct'] / 400 > 0.5  # chance is 0.1
    assert f'{probe["accuracy"]:.2%}' in done.stdout
    assert 'zero-shot  not available: the encoder was never trained' in done.stdout
    saved = ''.join(
        path.read_text() for path in whole.glob('checkpoints/supernet_0/*/state/_METADATA')
    )
    assert 'gates' in saved and 'norm_before' not in saved  # the decoder is saved, not the tower
    # batches × (first tokens and two layers)
    assert sum(1 for _ in whole.glob('features/*/*/*.bin')) == 4 * 3

    workdir = tmp_path / 'parts'
    for moment, code in (('features:5', -9), ('phase:test:0:SIGINT', 130)):
        ended = interrupted(moment, workdir, SMOKE, **SHORT)
        assert ended.returncode == code, (moment, ended.stderr)
        assert moment != 'features:5' or sum(1 for _ in workdir.glob('features/*/*/*.bin')) == 4
    again = run(command(workdir, SMOKE, **SHORT))
    assert again.returncode == 0, again.stderr
    same(workdir, whole)
    assert untimed(again.stdout, workdir) == untimed(done.stdout, whole)
