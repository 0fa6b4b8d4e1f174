"""The largest that fits, beside every architecture of small spaces and closed forms."""

import itertools

import pytest

from s4jax.models import FAMILIES
from s4jax.search.budget import Budget
from s4jax.search.largest import largest
from s4jax.search.space import Dimension, SearchSpace

VIT = dict(image_size=8, channels=1, patch=2, head_dim=8, classes=10)


def space(depth=(1, 3), mlp=(2.0, 4.0), stages=((1, 'depth'),)):
    return SearchSpace(
        (
            Dimension('embed_dim', 16, 32, 8),
            Dimension('depth', *depth, 1),
            Dimension('num_heads', 2, 4, 1, per_block=True),
            Dimension('mlp_ratio', *mlp, 1, per_block=True),
        ),
        stages,
    )


def everything(space):
    """All choices of a space."""
    scalars = [d for d in space.dimensions if not d.per_block]
    blocks = [d for d in space.dimensions if d.per_block]
    for values in itertools.product(*(d.values for d in scalars)):
        shared = dict(zip((d.name for d in scalars), values))
        counts = [space.blocks(d, shared) for d in blocks]
        each = [itertools.product(d.values, repeat=n) for d, n in zip(blocks, counts)]
        for chosen in itertools.product(*map(list, each)):
            yield shared | dict(zip((d.name for d in blocks), chosen))


def spread(space, choices):
    """The distances between the highest and the lowest choice, summed."""
    return sum(
        d.values.index(max(choices[d.name])) - d.values.index(min(choices[d.name]))
        for d in space.dimensions
        if d.per_block
    )


@pytest.mark.parametrize('limit', [9_000, 14_321, 20_000, 25_000, 31_234, 10**6])
@pytest.mark.parametrize('macs', [None, 250_000, 400_000])
def test_is_what_a_list_of_all_architectures_finds(limit, macs):
    family, found = FAMILIES['vit'], space()
    limits = (('params', limit), *((('macs', macs),) if macs else ()))
    budget = Budget(limits)

    def make(choices):
        return family.architecture(choices, **VIT)

    def cost(arch):
        return {'params': family.params(arch), 'macs': family.macs(arch)}

    fitting = [c for c in everything(found) if budget.fits(cost(make(c)))]
    ours = largest(found, budget, cost, make)
    if not fitting:
        assert ours is None
        return
    most = max(cost(make(c))['params'] for c in fitting)
    equals = [c for c in fitting if cost(make(c))['params'] == most]
    assert found.contains(ours) and budget.fits(cost(make(ours)))
    assert cost(make(ours))['params'] == most
    assert spread(found, ours) == min(spread(found, c) for c in equals)


def test_without_a_limit_it_is_the_largest_of_the_space():
    family, found = FAMILIES['vit'], space()
    cost = lambda arch: {'params': family.params(arch), 'macs': family.macs(arch)}
    make = lambda choices: family.architecture(choices, **VIT)
    assert largest(found, Budget(()), cost, make) == found.largest()


def test_of_equals_the_most_even_wins():
    """Every block costs its value: 7 over three blocks of 1…4 is (2, 2, 3), not (1, 2, 4)."""
    found = SearchSpace(
        (Dimension('depth', 3, 3, 1), Dimension('width', 1, 4, 1, per_block=True)), ((1, 'depth'),)
    )
    ours = largest(
        found, Budget((('params', 7),)), lambda a: {'params': sum(a)}, lambda c: c['width']
    )
    assert ours == {'depth': 3, 'width': (2, 2, 3)}


def test_stages_of_different_cost_are_filled_exactly():
    """Two stages whose blocks cost 10 and 3 a unit, with a budget that only one mix meets."""
    found = SearchSpace((Dimension('width', 1, 4, 1, per_block=True),), ((2, None), (3, None)))
    cost = lambda w: {'params': 10 * sum(w[:2]) + 3 * sum(w[2:])}
    ours = largest(found, Budget((('params', 68),)), cost, lambda c: c['width'])
    values = itertools.product(range(1, 5), repeat=5)
    most = max(p for w in values if (p := cost(w)['params']) <= 68)
    assert cost(ours['width'])['params'] == most
