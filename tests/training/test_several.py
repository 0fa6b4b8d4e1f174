"""Several architectures a step: the mean of what each would do, and in-place distillation."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import SMALL

from s4jax.models import FAMILIES
from s4jax.runtime import mesh, seeds
from s4jax.search.space import SearchSpace
from s4jax.training import sampling
from s4jax.training.recipe import SupernetSettings
from s4jax.training.step import initial_state, make_step

ROWS = 8


class Case:
    """A small supernet, its first state, some architectures and a batch."""

    def __init__(self, name):
        facts, dimensions = SMALL[name]
        self.name = name
        self.family = FAMILIES[name]
        self.space = SearchSpace(dimensions, self.family.stages(tuple(d.name for d in dimensions)))
        architecture = functools.partial(self.family.architecture, **facts)
        self.model = self.family.Model(architecture(self.space.largest()))
        self.place, self.tx = mesh.create(), optax.sgd(1.0)
        rng = np.random.default_rng(0)
        side = facts['image_size']
        self.images = rng.normal(size=(ROWS, side, side, 1)).astype(np.float32)
        self.labels = np.eye(5, dtype=np.float32)[rng.integers(5, size=ROWS)]
        self.state = jax.device_get(
            initial_state(self.model, self.images[:1], self.tx, seeds.key(0, 'init'))
        )
        make = sampling.sizes_maker(self.space, architecture, self.family.sizes_of, 'masked')
        self.choices = [self.space.largest(), self.space.smallest(), self.space.sample(rng)]
        self.each = [make(choices) for choices in self.choices]
        self.stacked = sampling.together(make, self.choices)

    def after(self, sizes, labels=None, **settings):
        """The state after a step: plain gradient descent shows the gradients."""
        step = step_of(self.name, **settings)
        batch = {'images': self.images, 'labels': self.labels if labels is None else labels}
        state = mesh.replicate(self.place, self.state)
        return jax.device_get(step(state, sizes, mesh.shard(self.place, batch)))


case_of = functools.cache(Case)


@functools.cache
def step_of(name, **settings):
    """A step, compiled once for all architectures and tests."""
    case = case_of(name)
    recipe = SupernetSettings(batch_size=ROWS, **settings)
    augment = lambda key, batch: (batch['images'], batch['labels'])
    return make_step(case.model, case.tx, augment, seeds.key(0, 'x'), case.place, recipe=recipe)


def mean(trees):
    return jax.tree.map(lambda *leaves: np.mean(leaves, 0), *trees)


def close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), one, other)


@pytest.mark.parametrize('name', ['vit', pytest.param('shunted', marks=pytest.mark.slow)])
def test_the_step_is_the_mean_of_the_steps_of_each(name):
    case = case_of(name)
    states, losses = zip(*(case.after(sizes) for sizes in case.each))
    state, loss = case.after(case.stacked, architectures=3)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    close(state['params'], mean([s['params'] for s in states]))
    close(state['batch_stats'], mean([s['batch_stats'] for s in states]))


def test_with_microbatches():
    case = case_of('vit')
    whole, loss = case.after(case.stacked, architectures=3)
    parts, same = case.after(case.stacked, architectures=3, microbatches=2)
    assert same == pytest.approx(loss, rel=1e-5)
    close(parts['params'], whole['params'])


@pytest.mark.parametrize('step, share', [(0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)])
def test_the_largest_teaches_the_others_more_and_more(step, share):
    """Against single steps whose labels are mixed by hand with the largest's outputs."""
    case = copy.copy(case_of('vit'))
    case.state = case.state | {'step': np.int32(step)}
    logits = case.model.apply({'params': case.state['params']}, jnp.asarray(case.images),
                              case.each[0])  # fmt: skip
    taught = (1 - share) * case.labels + share * np.asarray(jax.nn.softmax(logits))
    first = case.after(case.each[0])
    others = [case.after(sizes, taught) for sizes in case.each[1:]]
    state, loss = case.after(case.stacked, architectures=3, sandwich=True, distillation_steps=10)
    assert loss == pytest.approx(np.mean([first[1], *(loss for _, loss in others)]), rel=1e-5)
    close(state['params'], mean([s['params'] for s, _ in (first, *others)]))


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(architectures=2, execution='sliced'), "write 'auto'"),
        (dict(sandwich=True), 'write 3'),
    ],
)
def test_what_contradicts_itself(settings, words):
    with pytest.raises(ValueError, match=words):
        SupernetSettings(**settings)
