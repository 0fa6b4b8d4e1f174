"""Gradients in their units, and every neighbour with its reason."""

import dataclasses
import html
import re

import numpy as np

from s4jax.report import drawing
from s4jax.report.reading import read
from s4jax.report.sections.gradients import gradient, gradients, neighbours
from s4jax.search import explore
from s4jax.search.budget import Budget
from s4jax.search.space import Dimension, SearchSpace


def test_every_candidate_is_there_with_its_reason(workdir, steps, words):
    rows = re.findall(
        r'<tr class="(chosen|legal|rejected)">(.*?)</tr>', (workdir / 'report.html').read_text()
    )
    found = sorted(
        (kind, html.unescape(re.findall('<td>([^<]*)</td>$', cells)[0])) for kind, cells in rows
    )
    assert any(step['gamma'] for step in steps) and len(found) == 80 * len(steps)
    assert found == sorted(
        ('chosen', 'chosen')
        if c['gamma'] == step['gamma']
        else ('rejected', c['rejected'])
        if c['rejected']
        else ('legal', 'legal')
        for step in steps
        for c in step['candidates']
    )
    for t, step in enumerate(steps):
        legal = sum(c['rejected'] is None for c in step['candidates'])
        outcome = f'the move has cosine {step["cosine"]:.3f}'
        assert f'{drawing.label(t)}: {legal} of 80 neighbours legal; {outcome}' in words


def test_neighbours_of_a_space_too_large_to_list_and_of_the_last_step():
    space = SearchSpace(tuple(Dimension(f'num_heads_{k}', 2, 4, 1) for k in range(9)), ((1, None),))

    def size(space):
        return {'params': sum(d.upper for d in space.dimensions)}

    def score(archs):
        return np.array([sum(v * (k - 4) for k, v in enumerate(arch)) / 1e3 for arch in archs])

    step = explore.step(
        space,
        Budget((('params', 36.0),)),
        size,
        score,
        lambda choices: tuple(choices.values()),
        np.random.default_rng(0),
        explore.ExploreSettings(pairs=4, units='raw'),
    )
    listed = f'{len(step.candidates):,} of 19,682 neighbours listed, best first, 1 of them legal'
    assert f'{listed}; the move has cosine' in neighbours(3, step)
    stopped = dataclasses.replace(
        step, gamma=None, space=None, cosine=None, stopped='no <neighbour> fits'
    )
    text = neighbours(3, stopped)
    assert 'stopped: no &lt;neighbour&gt; fits' in text and 'class="chosen"' not in text


def test_slopes_are_shown_in_the_units_of_the_cosine(workdir):
    """In units of tau, a slope times tau is what the step's own z is."""
    run = read(workdir)
    for step in run.steps:
        found = gradient(step, run)
        np.testing.assert_array_equal(found.mean, step.z)
        assert found.unit == 'step' and found.gamma == step.gamma
        raw = gradient(dataclasses.replace(step, units='raw'), run)
        np.testing.assert_array_equal(raw.mean, step.slopes.mean)
        np.testing.assert_array_equal(raw.error, step.slopes.error)
        assert raw.unit == 'unit'
    assert gradients(dataclasses.replace(run, steps=())) == ''
