"""Evolutionary search: its bookkeeping, and landscapes whose best is known."""

import itertools
import json
import math

import numpy as np
import pytest
from search.landscapes import NAMED, SWIN, VIT, all_architectures, cost, frozen, noise, separable

from s4jax import settings as sections
from s4jax.errors import UsageError
from s4jax.search.budget import Budget
from s4jax.search.evolve import Evolution, EvolveSettings, Member, evolve, rank
from s4jax.search.space import Dimension, SearchSpace, choices_from_json

NO_LIMIT = Budget(())


def run(space, score, budget=NO_LIMIT, seed=0, cost=cost, **settings):
    """The evolution, and the architectures of each call of `score`."""
    small = dict(population=20, generations=10, parents=5, mutations=10, crossovers=5, tries=500)
    calls = []

    def scored(archs):
        calls.append(list(archs))
        return np.array([score(arch) for arch in archs])

    rng, settings = np.random.default_rng(seed), EvolveSettings(**(small | settings))
    return evolve(space, budget, cost, scored, frozen, rng, settings), calls


def test_bookkeeping():
    """One call scores a generation, nothing is scored twice, all of it is ranked.

    Members are what was scored, in order.
    """
    found, calls = run(VIT, noise)
    assert len(calls) == 10 and found.stopped == '10 generations'
    archs = [arch for call in calls for arch in call]
    assert len(archs) == len(set(archs)) == 200
    assert [m.architecture for m in found.members] == archs
    assert [m.generation for m in found.members] == [g for g in range(10) for _ in range(20)]
    for m in found.members:
        assert m.architecture == frozen(m.choices) and m.costs == cost(m.architecture)
        assert VIT.contains(m.choices)
        assert m.accuracy == noise(m.architecture)
    assert found.best.accuracy == max(map(noise, archs))
    origins = [m.origin for m in found.members]
    assert set(origins[:20]) == {'random'} and origins.count('crossover') > 20
    for g in range(1, 10):
        born = origins[20 * g : 20 * (g + 1)]
        crossed = born.count('crossover')  # none where the parents' depths all differ
        assert crossed <= 5
        expected = {'mutation': 10, 'crossover': crossed, 'random': 10 - crossed}
        assert born == [origin for origin, count in expected.items() for _ in range(count)]


def test_the_last_generation_is_ranked():
    """A score that rises with every call: the best can only come from the last one."""
    calls = []

    def score(archs):
        calls.append(archs)
        return np.full(len(archs), len(calls) / 100)

    found = evolve(
        VIT,
        NO_LIMIT,
        cost,
        score,
        frozen,
        np.random.default_rng(0),
        EvolveSettings(population=10, generations=4, parents=3, mutations=5, crossovers=2),
    )
    assert found.best.generation == 3 and found.best.accuracy == 0.04


def shared(one, other):
    """The share of equal per-block genes."""
    names = ('num_heads', 'mlp_ratio')
    return np.mean([a == b for name in names for a, b in zip(one[name], other[name])])


def test_children_come_from_the_best_seen_so_far():
    """A mutation keeps most genes of one parent of its time, a crossover has all genes from two."""
    found, _ = run(VIT, noise, crossovers=0)
    for g in range(1, 10):
        parents = rank([m for m in found.members if m.generation < g])[:5]
        for m in (m for m in found.members if m.generation == g and m.origin == 'mutation'):
            assert max(shared(m.choices, p.choices) for p in parents) >= 0.4
    crossed, _ = run(VIT, noise, mutations=0, crossovers=15)
    for g in range(1, 10):
        parents = [m.choices for m in rank([m for m in crossed.members if m.generation < g])[:5]]
        children = [
            m.choices for m in crossed.members if m.generation == g and m.origin == 'crossover'
        ]
        for child in children:
            assert any(
                all(child[n] in (a[n], b[n]) for n in ('embed_dim', 'depth'))
                and all(
                    c in pair
                    for n in ('num_heads', 'mlp_ratio')
                    for c, *pair in zip(child[n], a[n], b[n])
                )
                for a, b in itertools.product(parents, repeat=2)
                if a['depth'] == b['depth']
            )


def test_never_over_the_budget():
    samples = [VIT.sample(np.random.default_rng(i)) for i in range(200)]
    limit = float(np.median([cost(frozen(sample))['params'] for sample in samples]))
    found, calls = run(
        VIT, lambda arch: cost(arch)['params'], Budget((('params', limit),)), generations=15
    )
    costs = [m.costs['params'] for m in found.members]
    assert max(costs) <= limit and len(costs) == 300
    assert found.best.costs['params'] == max(costs) == limit  # Eq. 1: it may be met
    two = Budget((('params', limit), ('blocks', 3)))
    found, _ = run(VIT, noise, two, cost=lambda arch: cost(arch) | {'blocks': dict(arch)['depth']})
    assert all(m.costs['params'] <= limit and m.choices['depth'] <= 3 for m in found.members)


@pytest.mark.parametrize(
    'name, short', [('vit', 2e-3), ('segments', 1e-9), ('swin', 0.03), ('shunted', 0.03)]
)
def test_the_best_of_a_separable_landscape_is_found(name, short):
    """1,000 scores, as published, in spaces of up to 1e17 architectures."""
    space = NAMED[name]
    for seed in range(2):
        score, best = separable(space, seed)
        published = dict(EvolveSettings()) | {'tries': 100}
        found, _ = run(space, score, seed=seed, **published)
        assert best - short < found.best.accuracy == score(found.best.architecture) <= best + 1e-12
        rng = np.random.default_rng(seed)
        assert found.best.accuracy > max(score(frozen(space.sample(rng))) for _ in found.members)


def test_the_best_under_a_budget_is_that_of_the_whole_list():
    space = SearchSpace(
        (
            Dimension('embed_dim', 16, 40, 8),
            Dimension('depth', 1, 3, 1),
            Dimension('num_heads', 1, 3, 1, per_block=True),
            Dimension('mlp_ratio', 1, 2, 0.5, per_block=True),
        ),
        ((1, 'depth'),),
    )
    everything = list(all_architectures(space))
    assert len(everything) == len(set(everything)) == 4 * (9 + 81 + 729)
    limit = float(np.quantile([cost(arch)['params'] for arch in everything], 0.4))
    within = [arch for arch in everything if cost(arch)['params'] <= limit]
    for seed in range(3):
        score, _ = separable(space, seed)
        best = max(map(score, within))
        found, _ = run(
            space, score, Budget((('params', limit),)), seed=seed, generations=20, tries=100
        )
        assert found.best.accuracy == pytest.approx(best, abs=1e-12)


def test_the_seed_decides():
    one, other, third = (
        run(SWIN, lambda arch: cost(arch)['params'] % 7, seed=seed)[0] for seed in (5, 5, 6)
    )
    assert one == other and one != third
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_json_holds_the_best():
    found = evolve(
        VIT,
        NO_LIMIT,
        cost,
        lambda archs: np.arange(len(archs)) / 100,
        frozen,
        np.random.default_rng(0),
        EvolveSettings(population=5, generations=1),
    )
    data = json.loads(json.dumps(found.to_json()))
    assert len(data['members']) == 5 and data['best'] == data['members'][4]
    assert data['stopped'] == '1 generations'
    best = found.best.choices
    assert data['best'] == {
        'choices': best | {n: list(best[n]) for n in ('num_heads', 'mlp_ratio')},
        'accuracy': 0.04,
        'generation': 0,
        'architecture': data['best']['choices'],
        'costs': cost(frozen(best)),
        'origin': 'random',
    }
    again = Evolution.from_json(data, lambda row: frozen(choices_from_json(row)))
    assert again == found and again.best is again.members[4]


def test_where_nothing_fits_the_search_ends_with_the_smallest_size():
    costed = []

    def counted(arch):
        costed.append(arch)
        return cost(arch)

    smallest = cost(frozen(VIT.smallest()))['params']
    with pytest.raises(
        UsageError, match=rf'found 0 of 20 .* in 300 draws; .*params {smallest} \(budget 5\)'
    ):
        run(VIT, noise, Budget((('params', 5.0),)), cost=counted, tries=300)
    assert len(costed) <= 301


@pytest.mark.parametrize('settings', [{}, {'mutations': 0}, {'crossovers': 0, 'population': 7}])
def test_a_tiny_space_is_exhausted(settings):
    space = SearchSpace(
        (
            Dimension('embed_dim', 16, 24, 8),
            Dimension('depth', 1, 2, 1),
            Dimension('num_heads', 1, 2, 1, per_block=True),
        ),
        ((1, 'depth'),),
    )
    everything = set(all_architectures(space))
    found, calls = run(space, noise, tries=400, generations=1000, **settings)
    assert {m.architecture for m in found.members} == everything
    assert len(found.members) == len(everything) == 12
    expected = f'every architecture within reach was scored after {len(calls)} generations'
    assert found.stopped == expected
    assert found.best.accuracy == max(map(noise, everything))


@pytest.mark.parametrize(
    'population, mutations, crossovers', [(6, 25, 25), (6, 4, 25), (6, 0, 6), (1, 1, 0)]
)
def test_a_generation_is_never_larger_than_the_population(population, mutations, crossovers):
    counts = dict(population=population, mutations=mutations, crossovers=crossovers)
    found, calls = run(VIT, noise, generations=5, **counts)
    assert [len(call) for call in calls] == [population] * 5
    assert len(found.members) == 5 * population


def test_rank_prefers_the_smaller_of_equals_and_then_the_earlier():
    def member(name, accuracy, params, macs):
        return Member({}, name, {'params': params, 'macs': macs}, accuracy, 0, 'random')

    members = [
        member('a', 0.5, 20, 1),
        member('b', 0.9, 30, 9),
        member('c', 0.9, 20, 9),
        member('d', 0.9, 20, 8),
        member('e', 0.5, 20, 1),
        member('f', 0.95, 99, 99),
    ]
    assert ''.join(m.architecture for m in rank(members)) == 'fdcbae'
    found, _ = run(VIT, lambda arch: 0.5)
    assert found.best.costs['params'] == min(m.costs['params'] for m in found.members)
    assert isinstance(found, Evolution)


@pytest.mark.parametrize(
    'name, value',
    [
        *itertools.product(
            ('population', 'generations', 'parents', 'mutations', 'crossovers', 'tries'),
            (-1, 1e9, 1.5, math.nan, math.inf, True, None, 'many', [1]),
        ),
        *itertools.product(('population', 'generations', 'parents', 'tries'), (0,)),
        *itertools.product(
            ('scalar_probability', 'block_probability'),
            (-0.1, 1.1, math.nan, math.inf, True, None, 'half', [0.5]),
        ),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=rf'^config\.evolve\.{name}=.* must be [^\n]*$'):
        sections.read(EvolveSettings, {name: value}, 'config.evolve')
