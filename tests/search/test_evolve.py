"""Evolutionary search: its operators gene by gene, its bookkeeping, and landscapes whose best is known."""

import itertools
import json
import math
import zlib

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.search.budget import Budget
from s4jax.search.evolve import Evolution, EvolveSettings, Member, cross, evolve, mutate, rank
from s4jax.search.space import Dimension, SearchSpace

NO_LIMIT = Budget(())
VIT = SearchSpace(
    (
        Dimension('embed_dim', 16, 64, 8),
        Dimension('depth', 2, 5, 1),
        Dimension('num_heads', 1, 6, 1, per_block=True),
        Dimension('mlp_ratio', 1, 4, 0.5, per_block=True),
    ),
    ((1, 'depth'),),
)
SWIN = SearchSpace(
    (
        Dimension('embed_dim', 24, 96, 12),
        Dimension('depth', 2, 6, 2),
        *(Dimension(f'mlp_ratio_{s}', 10 * s, 10 * s + 6, 1, per_block=True) for s in (1, 2, 3, 4)),
        Dimension('num_heads', 1, 4, 1, per_block=True),
    ),
    ((2, None), (2, None), (1, 'depth'), (2, None)),
)
SHUNTED = SearchSpace(
    (
        Dimension('embed_dim', 24, 96, 12),
        Dimension('depth', 1, 4, 1),
        Dimension('mlp_ratio', 1, 9, 1, per_block=True),
    ),
    ((2, None), (1, 'depth'), (3, 'depth'), (1, None)),
)
SEGMENTS = SearchSpace(
    (
        Dimension('embed_dim', 16, 64, 8),
        Dimension('depth_1', 1, 3, 1),
        Dimension('depth_2', 1, 3, 1),
        Dimension('num_heads_1', 1, 6, 1, per_block=True),
        Dimension('num_heads_2', 11, 16, 1, per_block=True),
    ),
    ((1, 'depth_1'), (1, 'depth_2')),
)
NAMED = {'vit': VIT, 'swin': SWIN, 'shunted': SHUNTED, 'segments': SEGMENTS}
SPACES = pytest.mark.parametrize('space', NAMED.values(), ids=NAMED)


class Architecture(tuple):
    """Choices as pairs: hashable, and as JSON."""

    def to_json(self):
        return dict(self)


def frozen(choices):
    return Architecture(choices.items())


def cost(arch):
    """Grows with every gene."""
    return {'params': sum(sum(genes) if isinstance(genes, tuple) else genes for _, genes in arch)}


def all_architectures(space):
    """Every architecture, listed depth by depth."""
    scalars = [d for d in space.dimensions if not d.per_block]
    for values in itertools.product(*(d.values for d in scalars)):
        named = dict(zip([d.name for d in scalars], values))
        per_block = [
            itertools.product(d.values, repeat=space.blocks(d, named))
            if d.per_block
            else [named[d.name]]
            for d in space.dimensions
        ]
        yield from (tuple(zip(space.names, genes)) for genes in itertools.product(*per_block))


def lay_out(space, choices, name):
    """A per-block gene as {(stage, place in the stage): value}."""
    (d,) = (d for d in space.dimensions if d.name == name)
    places = [
        (s, i)
        for s, (count, depth) in enumerate(space.stages)
        if d.stage in (None, s)
        for i in range(count * (1 if depth is None else choices[depth]))
    ]
    return dict(zip(places, choices[name], strict=True))


# --- mutation ---


@SPACES
def test_mutation_by_probability(space):
    """Without chances nothing changes; of scalars alone only depth cuts or adds blocks, whose kept ones stay."""
    rng, deeper, shallower, changed = np.random.default_rng(0), 0, 0, 0
    for _ in range(200):
        parent = space.sample(rng)
        before = json.dumps(parent)
        assert mutate(space, parent, rng, 0, 0) == parent
        child = mutate(space, parent, rng, 0.5, 0)
        assert (
            json.dumps(parent) == before and space.contains(child) and list(child) == list(parent)
        )
        for d in space.dimensions:
            if d.per_block:
                old, new = lay_out(space, parent, d.name), lay_out(space, child, d.name)
                assert all(new[place] == old[place] for place in old.keys() & new.keys())
                deeper += len(new) > len(old)
                shallower += len(new) < len(old)
            else:
                changed += parent[d.name] != child[d.name]
        child = mutate(space, parent, rng, 0, 0.5)
        assert space.contains(child) and space.layout(child) == space.layout(parent)
        assert all(d.per_block or child[d.name] == parent[d.name] for d in space.dimensions)
    assert min(deeper, shallower, changed) > 20


@SPACES
def test_blocks_of_a_deeper_child_are_fresh_in_their_stage(space):
    """All values of a new block's gene are met, and no others; the values tell the stage where stages differ."""
    rng, met, parent = np.random.default_rng(1), {}, space.smallest()
    for _ in range(500):
        child = mutate(space, parent, rng, 0.9, 0)
        for d in space.dimensions:
            if d.per_block:
                old, new = lay_out(space, parent, d.name), lay_out(space, child, d.name)
                for place in new.keys() - old.keys():
                    met.setdefault((d.name, place), set()).add(new[place])
    assert met
    for (name, _), values in met.items():
        (d,) = (d for d in space.dimensions if d.name == name)
        assert values == set(d.values)


def test_mutation_rates():
    """Redrawn with the given chance, and a redraw may give what was there: (1 - 1/values) · p change."""
    rng, count = np.random.default_rng(2), 3000
    parent = VIT.smallest() | {'depth': 5, 'num_heads': (1,) * 5, 'mlp_ratio': (1,) * 5}
    children = [mutate(VIT, parent, rng, 0.4, 0.2) for _ in range(count)]
    for name, p in (('embed_dim', 0.4 * 6 / 7), ('depth', 0.4 * 3 / 4)):
        assert np.mean([c[name] != parent[name] for c in children]) == pytest.approx(
            p, abs=5 * math.sqrt(p / count)
        )
    for name, p in (('num_heads', 0.2 * 5 / 6), ('mlp_ratio', 0.2 * 6 / 7)):
        for block in range(2):  # blocks that every depth has
            changed = np.mean([c[name][block] != 1 for c in children])
            assert changed == pytest.approx(p, abs=5 * math.sqrt(p / count))


# --- crossover ---


@SPACES
def test_crossover_takes_every_gene_from_a_parent(space):
    rng, sides = np.random.default_rng(3), {}
    for _ in range(300):
        one = space.sample(rng)
        other = space.cut(space.draw(rng) | {name: one[name] for _, name in space.stages if name})
        child = cross(space, one, other, rng)
        assert list(child) == list(one) and space.layout(child) == space.layout(one)
        for d in space.dimensions:
            genes = zip(
                *(c[d.name] if d.per_block else [c[d.name]] for c in (child, one, other)),
                strict=True,
            )
            for block, (gene, a, b) in enumerate(genes):
                assert gene in (a, b)
                if a != b:
                    sides.setdefault((d.name, block if d.per_block else None), []).append(gene == a)
    for gene, taken in sides.items():  # every gene on its own, from either side
        assert len(taken) < 30 or abs(np.mean(taken) - 0.5) < 2.5 / math.sqrt(len(taken)), gene
    assert {name for name, _ in sides} == set(space.names) - {name for _, name in space.stages}


# --- evolution ---


def run(space, score, budget=NO_LIMIT, seed=0, cost=cost, **settings):
    settings = (
        dict(population=20, generations=10, parents=5, mutations=10, crossovers=5, tries=500)
        | settings
    )
    calls = []

    def scored(archs):
        calls.append(list(archs))
        return np.array([score(arch) for arch in archs])

    return evolve(
        space, budget, cost, scored, frozen, np.random.default_rng(seed), EvolveSettings(**settings)
    ), calls


def separable(space, seed):
    """score(arch), the mean over dimensions and blocks of a random value for every choice, and the most it can be."""
    rng = np.random.default_rng(seed)
    values = {d.name: {v: rng.uniform() for v in d.values} for d in space.dimensions}

    def score(arch):
        genes = (
            (values[name], genes if isinstance(genes, tuple) else (genes,)) for name, genes in arch
        )
        return sum(sum(map(value.get, some)) / len(some) for value, some in genes) / len(arch)

    return score, sum(max(value.values()) for value in values.values()) / len(values)


def noise(arch):
    return zlib.crc32(repr(arch).encode()) % 10007 / 10007


def test_bookkeeping():
    """Nothing is scored twice, one call a generation, all of it ranked, members are what was scored, in order."""
    found, calls = run(VIT, noise)
    assert len(calls) == 10 and found.stopped == '10 generations'
    archs = [arch for call in calls for arch in call]
    assert len(archs) == len(set(archs)) == 200
    assert [m.architecture for m in found.members] == archs
    assert [m.generation for m in found.members] == [g for g in range(10) for _ in range(20)]
    for m in found.members:
        assert (
            m.architecture == frozen(m.choices)
            and m.costs == cost(m.architecture)
            and VIT.contains(m.choices)
        )
        assert m.accuracy == noise(m.architecture)
    assert found.best.accuracy == max(map(noise, archs))
    origins = [m.origin for m in found.members]
    assert set(origins[:20]) == {'random'} and origins.count('crossover') > 20
    for g in range(1, 10):
        crossed = origins[20 * g : 20 * (g + 1)].count(
            'crossover'
        )  # none where the parents' depths all differ
        assert crossed <= 5
        assert origins[20 * g : 20 * (g + 1)] == ['mutation'] * 10 + ['crossover'] * crossed + [
            'random'
        ] * (10 - crossed)


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


def test_children_come_from_the_best_seen_so_far():
    """A mutation keeps most genes of one of the parents of its time, a crossover has all genes from two of them."""
    found, _ = run(VIT, noise, crossovers=0)
    for g in range(1, 10):
        parents = rank([m for m in found.members if m.generation < g])[:5]
        for m in (m for m in found.members if m.generation == g and m.origin == 'mutation'):
            kept = [
                np.mean(
                    [
                        a == b
                        for n in ('num_heads', 'mlp_ratio')
                        for a, b in zip(m.choices[n], p.choices[n])
                    ]
                )
                for p in parents
            ]
            assert max(kept) >= 0.4
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
    limit = float(
        np.median(
            [cost(frozen(VIT.sample(np.random.default_rng(i))))['params'] for i in range(200)]
        )
    )
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
        found, _ = run(
            space,
            score,
            seed=seed,
            population=50,
            generations=20,
            parents=10,
            mutations=25,
            crossovers=25,
            tries=100,
        )
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


def test_json_tells_the_best():
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
    assert (
        len(data['members']) == 5
        and data['best'] == data['members'][4]
        and data['stopped'] == '1 generations'
    )
    best = found.best.choices
    assert data['best'] == {
        'choices': best | {n: list(best[n]) for n in ('num_heads', 'mlp_ratio')},
        'accuracy': 0.04,
        'generation': 0,
        'architecture': data['best']['choices'],
        'costs': cost(frozen(best)),
        'origin': 'random',
    }


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
    assert {m.architecture for m in found.members} == everything and len(found.members) == len(
        everything
    ) == 12
    assert (
        found.stopped
        == f'every architecture within reach was scored after {len(calls)} generations'
    )
    assert found.best.accuracy == max(map(noise, everything))


@pytest.mark.parametrize(
    'population, mutations, crossovers', [(6, 25, 25), (6, 4, 25), (6, 0, 6), (1, 1, 0)]
)
def test_a_generation_is_never_larger_than_the_population(population, mutations, crossovers):
    found, calls = run(
        VIT, noise, population=population, mutations=mutations, crossovers=crossovers, generations=5
    )
    assert [len(call) for call in calls] == [population] * 5 and len(
        found.members
    ) == 5 * population


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
