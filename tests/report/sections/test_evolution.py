"""The evolution in words and figures."""

import dataclasses

from s4jax.report.reading import read
from s4jax.report.sections.evolution import evolution
from s4jax.search.budget import Budget


def test_the_winner_and_why_the_evolution_ended(workdir, parsed):
    run = read(workdir)
    best, count = run.evolution.best, len(run.evolution.members)
    words = str(parsed(evolution(run)))
    assert f'It scored {count} architectures and ended after {run.evolution.stopped}.' in words
    origin = f'(origin: {best.origin}, generation {best.generation})'
    assert f'The winner had {best.accuracy:.2%} {origin}.' in words


def test_a_figure_for_each_cost_in_the_budget(workdir):
    run = read(workdir)
    assert evolution(run).count('<figure>') == 2
    free = dataclasses.replace(run, budget=Budget(()))
    assert evolution(free).count('<figure>') == 1  # parameters, without a limit
    assert evolution(dataclasses.replace(run, evolution=None)) == ''
