"""The loss curves."""

import dataclasses

from s4jax.report.reading import read
from s4jax.report.sections.training import training


def test_supernets_and_models_trained_alone_have_a_figure_each(workdir):
    run = read(workdir)
    markup = training(run)
    for name, phase in (('A₁', 'supernet_1'), ('winner', 'retrain'), ('hand-made', 'baseline')):
        assert f'{name}: 400 steps, last loss {run.losses[phase].losses[-1]:.3f}' in markup
    assert markup.count('<figure>') == 2
    first = dataclasses.replace(run, losses={'supernet_0': run.losses['supernet_0']})
    assert training(first).count('<figure>') == 1
    assert training(dataclasses.replace(run, losses={})) == ''
