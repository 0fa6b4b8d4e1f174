"""The architectures: searched sizes, and the strips of blocks and stages."""

import dataclasses
import re

from s4jax.report.reading import read
from s4jax.report.sections.architectures import architecture, architectures, bounds


def levels(markup):
    return [float(level) for level in re.findall(r'--level: ([\d.]+)', markup)]


def test_searched_sizes_stand_before_the_given_ones(workdir, parsed):
    markup = architecture('Winner', 'winner', {'patch': 2, 'depth': 3}, read(workdir))
    assert str(parsed(markup)) == 'Winnerdepth 3 · patch 2'
    assert '<b>depth 3</b>' in markup and '<b>patch' not in markup


def test_a_size_is_as_dark_as_it_is_high_in_the_last_space(workdir):
    run = read(workdir)
    low, high = bounds('mlp_ratio', (), run)
    assert (low, high) == (run.ranges['mlp_ratio'][-1].lower, run.ranges['mlp_ratio'][-1].upper)
    arch = {'mlp_ratio': [low, high, (low + high) / 2, high + 1], 'window': [7, 14, 7, 7]}
    assert levels(architecture('', '', arch, run)) == [0, 1, 0.5, 1, 0, 1, 0, 0]


def test_a_list_of_the_length_of_the_depths_has_stages(workdir):
    arch = {'depths': [2, 1], 'mlp_ratio': [3, 3, 4]}
    markup = architecture('', '', arch, read(workdir))
    assert markup.index('<th>stage</th>') < markup.index('<th>block</th>')


def test_long_architectures_stand_below_each_other(workdir):
    run = read(workdir)
    assert 'panels two' in architectures(run)
    long = dataclasses.replace(
        run.result, winner=dataclasses.replace(run.result.winner, architecture={'a': [1] * 9})
    )
    assert 'panels one' in architectures(dataclasses.replace(run, result=long))


def test_before_the_test_the_best_of_the_evolution_is_shown(workdir, parsed):
    run = dataclasses.replace(read(workdir), result=None)
    words = str(parsed(architectures(run)))
    assert 'Best of the evolution, not tested yet' in words and 'Hand-made' not in words
    assert architectures(dataclasses.replace(run, evolution=None)) == ''
