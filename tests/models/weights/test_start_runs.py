"""Whole runs that start from a published file, and fine-tune the winner from the supernet."""

import signal

import jax
import numpy as np
import pytest
import safetensors.numpy
from runs import command, config, read, run, same

from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.models.weights import autoformer


def published(path):
    """A file by AutoFormer's names: the widest model of the tiny run's space, at another size."""
    arch = vit.Architecture(
        image_size=12, channels=1, patch=2, head_dim=8, classes=5, embed_dim=32, depth=2,
        num_heads=(4, 4), mlp_ratio=(4.0, 4.0),
    )  # fmt: skip
    example = np.zeros((1, 12, 12, 1), np.float32)
    variables = jax.device_get(vit.Model(arch).init(jax.random.key(7), example))
    safetensors.numpy.save_file(autoformer.state_dict(variables, arch), path)


@pytest.mark.slow
def test_a_run_from_published_weights_goes_on_to_the_byte(tmp_path):
    path = tmp_path / 'published.safetensors'
    published(path)
    flags = dict(supernet__weights=path, retrain__start='supernet', explore__iterations=0)
    whole = run(command(tmp_path / 'whole', **flags))
    assert whole.returncode == 0, whole.stderr
    page = (tmp_path / 'whole' / 'report.html').read_text()
    assert 'start from the published weights of published.safetensors' in page
    assert 'trained further from the weights that it shares with the supernet' in page
    for moment in ('phase:supernet_0:0.3:SIGKILL', 'phase:retrain:0.5:SIGTERM'):
        program, _, _, *rest = command(tmp_path / 'stopped', **flags)
        stopped = run([program, 'tests/interrupt.py', moment, *rest])
        assert stopped.returncode in (-signal.SIGKILL, 128 + signal.SIGTERM), stopped.stderr
    resumed = run(command(tmp_path / 'stopped', **flags))
    assert resumed.returncode == 0, resumed.stderr
    same(tmp_path / 'stopped', tmp_path / 'whole')

    # another file is another run
    safetensors.numpy.save_file({'a': np.zeros(3)}, path)
    refused = run(command(tmp_path / 'stopped', **flags))
    assert refused.returncode == 2 and 'published.safetensors does not suit' in refused.stderr
    assert read(tmp_path / 'whole' / 'config.json')['identity']['weights digest']


def test_a_method_without_supernets_has_none_to_start_from():
    with pytest.raises(UsageError, match="trains no supernet: write 'scratch'"):
        config(retrain__start='supernet', search__method='largest')
