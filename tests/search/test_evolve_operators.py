"""Mutation and crossover, gene by gene."""

import json
import math

import numpy as np
import pytest
from search.landscapes import NAMED, VIT

from s4jax.search.evolve import cross, mutate

SPACES = pytest.mark.parametrize('space', NAMED.values(), ids=NAMED)


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


@SPACES
def test_mutation_by_probability(space):
    """With probabilities of 0 nothing changes.

    With scalar redraws alone, only a new depth cuts or adds blocks, and the kept ones stay.
    """
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
    """A new block's gene takes all values of its dimension, and no others.

    Where the stages have dimensions of their own, the values show the stage.
    """
    rng, seen, parent = np.random.default_rng(1), {}, space.smallest()
    for _ in range(500):
        child = mutate(space, parent, rng, 0.9, 0)
        for d in space.dimensions:
            if d.per_block:
                old, new = lay_out(space, parent, d.name), lay_out(space, child, d.name)
                for place in new.keys() - old.keys():
                    seen.setdefault((d.name, place), set()).add(new[place])
    assert seen
    for (name, _), values in seen.items():
        (d,) = (d for d in space.dimensions if d.name == name)
        assert values == set(d.values)


def test_mutation_rates():
    """A redraw may give the old value: a gene changes with probability p · (1 - 1/values)."""
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
