"""The evolution in words and figures."""

import dataclasses
import re

from s4jax.report.reading import read
from s4jax.report.sections.evolution import evolution
from s4jax.search.budget import Budget

SPACE = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')


def test_the_winner_and_why_the_evolution_ended(workdir, parsed):
    run = read(workdir)
    best, count = run.evolution.best, len(run.evolution.members)
    words = str(parsed(evolution(run)))
    assert f'It scored {count} architectures and ended after {run.evolution.stopped}.' in words
    origin = f'(origin: {best.origin}, generation {best.generation})'
    assert f'The winner had {best.accuracy:.2%} {origin}.' in words
    correct = run.result.winner.accuracy
    assert (
        f'In the supernet the winner had {best.accuracy:.2%}, trained alone it has {correct:.2%}'
        in words
    )
    assert 'all of its 400 steps' in words and '400 images of the search split' in words
    untested = dataclasses.replace(run, result=None)
    assert 'Why two numbers' not in evolution(untested)


def test_every_point_tells_its_architecture(workdir):
    run = read(workdir)
    found = set(re.findall('<title>(.*?)</title>', evolution(run)))
    for member in run.evolution.members:
        arch = ', '.join(f'{k} {v}' for k, v in member.architecture.to_json().items() if k in SPACE)
        costs = f'{member.costs["params"]:,} params, {member.costs["macs"]:,} macs'
        origin = f'{member.origin} of generation {member.generation}'
        assert f'{member.accuracy:.2%}, {costs}, {origin}: {arch}' in found


def test_a_figure_for_each_cost_in_the_budget(workdir):
    run = read(workdir)
    assert evolution(run).count('<figure>') == 2
    free = dataclasses.replace(run, budget=Budget(()))
    assert evolution(free).count('<figure>') == 1  # parameters, without a limit
    assert evolution(dataclasses.replace(run, evolution=None)) == ''
