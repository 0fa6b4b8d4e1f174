"""Sampled subnets: the same for the same step, uniform, with sizes of both forms of execution."""

import collections
import operator

import jax
import numpy as np

from s4jax import elastic
from s4jax.models import vit
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training import sampling
from s4jax.training.recipe import Recipe, SupernetSettings

SPACE = SearchSpace(
    (
        Dimension('embed_dim', 8, 16, 8),
        Dimension('depth', 1, 2, 1),
        Dimension('num_heads', 1, 3, 1, per_block=True),
        Dimension('mlp_ratio', 1.0, 2.0, 0.5, per_block=True),
    ),
    vit.stages(('depth',)),
)


def architecture(choices):
    return vit.architecture(choices, image_size=4, patch=2, classes=3)


def test_auto_slices_where_it_pays():
    recipe = Recipe(epochs=10, batch_size=10)
    for images, params, expected in (
        (1000, 1e6, 'sliced'),
        (1000, 999_999, 'masked'),
        (999, 1e6, 'masked'),
    ):
        assert sampling.execution(recipe, images, params, 'auto') == expected
    assert sampling.execution(recipe, 1, 1, 'sliced') == 'sliced'


def test_draws_are_a_function_of_seed_purpose_attempt_and_step():
    one, same = (sampling.sampler(SPACE, 3, 'supernet_0') for _ in range(2))
    draws = [one(0, i) for i in range(600)]
    assert {len(each) for each in draws} == {1}
    assert draws == [same(0, i) for i in range(600)]
    for other in (
        [one(1, i) for i in range(600)],
        [sampling.sampler(SPACE, 4, 'supernet_0')(0, i) for i in range(600)],
        [sampling.sampler(SPACE, 3, 'supernet_1')(0, i) for i in range(600)],
    ):
        assert sum(a == b for a, b in zip(draws, other)) < 150
    for name in ('embed_dim', 'depth'):  # uniform: within five standard deviations of one half
        counts = collections.Counter(draw[name] for (draw,) in draws)
        assert all(abs(n - 300) < 62 for n in counts.values()) and len(counts) == 2
    heads = collections.Counter(h for (draw,) in draws for h in draw['num_heads'])
    assert max(heads.values()) - min(heads.values()) < 120 and set(heads) == {1, 2, 3}


def test_masked_and_sliced_sizes_are_those_of_the_architecture():
    masked, sliced = (
        sampling.sizes_maker(SPACE, architecture, vit.sizes_of, form)
        for form in ('masked', 'sliced')
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        choices = SPACE.sample(rng)
        arch, depth = architecture(choices), choices['depth']
        wanted, mask, switch = vit.sizes_of(arch), masked(choices), sliced(choices)
        assert (mask.embed_dim, mask.depth) == (wanted.embed_dim, depth)
        assert tuple(mask.num_heads[:depth]) == wanted.num_heads
        assert tuple(mask.hidden[:depth]) == wanted.hidden
        assert switch.embed_dim == elastic.Fixed(wanted.embed_dim) and switch.depth == depth
        for name in ('num_heads', 'hidden'):
            choice = getattr(switch, name)
            values = tuple(choice.values[i] for i in choice.index[:depth])
            assert values == getattr(wanted, name)
        assert switch.hidden.values == tuple(int(wanted.embed_dim * r) for r in (1, 1.5, 2))


def test_several_architectures_a_step():
    """The first of several is that of one; a sandwich begins with the largest and the smallest."""
    one, three = (sampling.sampler(SPACE, 3, 'x', count) for count in (1, 3))
    assert [three(0, i)[:1] for i in range(50)] == [one(0, i) for i in range(50)]
    assert {len(three(0, i)) for i in range(50)} == {3}
    sandwich = sampling.sampler(SPACE, 3, 'x', 4, sandwich=True)
    for i in range(20):
        largest, smallest, *others = sandwich(0, i)
        assert (largest, smallest) == (SPACE.largest(), SPACE.smallest()) and len(others) == 2
    recipe = SupernetSettings(architectures=2, epochs=1000)
    assert sampling.execution(recipe, 10**6, 1e9, 'auto') == 'masked'

    make = sampling.sizes_maker(SPACE, architecture, vit.sizes_of, 'masked')
    stacked = sampling.together(make, three(0, 7))
    for k, choices in enumerate(three(0, 7)):
        own = jax.tree.map(operator.itemgetter(k), stacked)
        assert jax.tree.all(jax.tree.map(np.array_equal, own, make(choices)))
    alone = sampling.together(make, one(0, 7))
    assert jax.tree.all(jax.tree.map(np.array_equal, alone, make(*one(0, 7))))
