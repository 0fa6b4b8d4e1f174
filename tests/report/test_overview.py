"""The picture of a run."""

import dataclasses

from s4jax.report.overview import overview
from s4jax.report.reading import read


def titles(figure):
    found = (axes for axes in figure.get_axes() if axes.get_visible())
    return [title for axes in found if (title := axes.get_title(loc='left') or axes.get_title())]


def test_every_dimension_every_cost_and_the_population(workdir):
    run = read(workdir)
    moved = ['embed_dim', 'depth', 'num_heads', 'mlp_ratio', 'largest params', 'largest macs']
    assert titles(overview(run)) == [*moved, 'Evolution in the last space']
    assert titles(overview(dataclasses.replace(run, evolution=None, result=None))) == moved
