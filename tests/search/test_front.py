"""The front of accuracy against size, against all architectures of a small space."""

import itertools

import numpy as np
import pytest

from s4jax.models import vit
from s4jax.search.budget import Budget
from s4jax.search.evolve import EvolveSettings, Member
from s4jax.search.front import Front, best_below, front, limits
from s4jax.search.space import Dimension, SearchSpace

SPACE = SearchSpace(
    (
        Dimension('embed_dim', lower=16, upper=32, step=8),
        Dimension('depth', lower=1, upper=3, step=1),
        Dimension('num_heads', lower=2, upper=4, step=1),
        Dimension('mlp_ratio', lower=1, upper=3, step=1),
    ),
    stages=((1, 'depth'),),
)
SETTINGS = EvolveSettings(population=40, generations=8, parents=5, mutations=15, crossovers=15)


def architecture(choices):
    """Of a space in which all blocks are equal, so that all of it can be listed."""
    repeated = {name: (choices[name],) * choices['depth'] for name in ('num_heads', 'mlp_ratio')}
    choices = choices | repeated
    return vit.architecture(choices, image_size=8, channels=1, patch=2, head_dim=8, classes=10)


def cost(arch):
    return {'params': vit.params(arch), 'macs': vit.macs(arch)}


def value(arch):
    """More of everything is better, but for heads: a landscape whose front is no straight line."""
    return 0.5 + 0.01 * arch.embed_dim + 0.05 * arch.depth - 0.02 * arch.num_heads[0]


def score(architectures):
    return np.array([value(arch) for arch in architectures])


def everything():
    values = [d.values for d in SPACE.dimensions]
    for point in itertools.product(*values):
        yield architecture(dict(zip(SPACE.names, point)))


@pytest.mark.parametrize('budget', [Budget((('params', 30_000),)), Budget((('macs', 4e5),))])
def test_every_point_is_the_best_of_all_below_its_limit(budget):
    found = front(SPACE, budget, cost, score, architecture, np.random.default_rng, SETTINGS, 5)
    ((name, most),) = budget.limits
    assert found.cost == name
    least = min(cost(arch)[name] for arch in everything())
    wanted = []
    for bound in limits(least, most, 5):
        within = [arch for arch in everything() if cost(arch)[name] <= bound]
        best = max(map(value, within))
        size = min(cost(arch)[name] for arch in within if value(arch) == best)
        if not wanted or best > wanted[-1][1]:
            wanted.append((size, best))
    assert [(m.costs[name], m.accuracy) for m in found.members] == wanted
    again = Front.from_json(found.to_json(), vit.Architecture.from_json)
    assert again.cost == name and [m.accuracy for m in again.members] == [a for _, a in wanted]


def test_without_a_budget_the_front_ends_with_the_largest():
    found = front(SPACE, Budget(()), cost, score, architecture, np.random.default_rng, SETTINGS, 3)
    assert found.cost == 'params' and found.members[-1].accuracy == max(map(value, everything()))


def member(params, accuracy):
    return Member({}, None, {'params': params}, accuracy, 0, 'random')


def test_no_point_is_dominated():
    members = [member(5, 0.5), member(7, 0.4), member(9, 0.8), member(8, 0.8), member(30, 0.9)]
    found = best_below(members, 'params', [4, 6, 8, 10, 20])
    assert [(m.costs['params'], m.accuracy) for m in found] == [(5, 0.5), (8, 0.8)]


def test_limits_have_equal_ratios():
    assert np.allclose(limits(2, 32, 4), [4, 8, 16, 32])
