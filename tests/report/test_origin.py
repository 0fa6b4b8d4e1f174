"""Where the winner came from, as far as the record says it."""

import dataclasses

import pytest

from s4jax.report.origin import differences, origin
from s4jax.report.reading import read
from s4jax.search.evolve import Evolution, Member

ONE = {'depth': 2, 'mlp_ratio': (3, 4)}
OTHER = {'depth': 2, 'mlp_ratio': (2, 2)}


def member(choices, accuracy, generation, kind):
    return Member(choices, None, {'params': 1}, accuracy, generation, kind)


def evolution(best):
    early = (member(OTHER, 0.8, 0, 'random'), member(ONE, 0.7, 0, 'random'))
    late = member({'depth': 9, 'mlp_ratio': (9,) * 9}, 0.85, best.generation, 'random')
    return Evolution((*early, late, best), best, '')


def test_a_mutation_is_compared_with_the_nearest_of_the_best():
    best = member({'depth': 3, 'mlp_ratio': (3, 2.5, 4)}, 0.9, 1, 'mutation')
    assert origin(evolution(best), 10) == (
        'The winner is a mutation of generation 1. Of the 2 best before it, from which that '
        'generation was bred, the nearest had 70.00% (generation 0) and differs in depth 2 → 3, '
        'mlp_ratio of block 2: 4 → 2.5, mlp_ratio of the new blocks: 4.'
    )
    assert 'Of the 1 best' in origin(evolution(best), 1)


def test_a_crossover_names_two_that_explain_it():
    best = member({'depth': 2, 'mlp_ratio': (3, 2)}, 0.9, 2, 'crossover')
    text = origin(evolution(best), 10)
    assert text.endswith('before it, with 80.00% (generation 0) and 70.00% (generation 0).')
    best = dataclasses.replace(best, choices={'depth': 2, 'mlp_ratio': (3, 9)})
    assert 'differs in mlp_ratio of block 2' in origin(evolution(best), 10)


@pytest.mark.parametrize('generation, words', [(0, 'before anything'), (3, 'beside those')])
def test_a_random_one(generation, words):
    assert words in origin(evolution(member(ONE | {'depth': 1}, 0.9, generation, 'random')), 3)


def test_a_shorter_architecture_and_many_differences():
    assert list(differences({'a': (1, 2)}, {'a': (1,)})) == []
    assert list(differences({'a': (1,)}, {'a': (1, 2.5, 3)})) == ['a of the new blocks: 2.5, 3']


def test_the_crossover_or_mutation_of_a_real_evolution_is_explained(workdir, words):
    found = read(workdir).evolution
    assert origin(found, 4) in words
    for bred in (m for m in found.members if m.origin == 'crossover'):
        text = origin(dataclasses.replace(found, best=bred), 4)
        assert 'each of its choices is that of one of two of the 4 best' in text
