"""A small supernet of each family with random weights, for all tests of how subnets are run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import SMALL

from s4jax import elastic
from s4jax.models import FAMILIES
from s4jax.search.space import SearchSpace
from s4jax.training.sampling import sizes_maker


def random_inputs(facts, rng):
    """A function of an architecture: images, or the states of an encoder's last layers."""
    if 'width' not in facts:  # the width of an encoder
        shape = (3, facts['image_size'], facts['image_size'], facts['channels'])
        images = rng.normal(size=shape).astype(np.float32)
        return lambda arch: images
    tokens = (facts['image_size'] // facts['patch']) ** 2 + 1
    first, *layers = rng.normal(size=(6, 3, tokens, facts['width'])).astype(np.float32)
    return lambda arch: (first, *layers[-arch.depth :])


class Case:
    """A family's supernet. Its weights are random everywhere: an initial scale of 1 or bias of 0
    would hide a wrong slice."""

    def __init__(self, name):
        facts, dimensions = SMALL[name]
        self.family = FAMILIES[name]
        self.space = SearchSpace(dimensions, self.family.stages(tuple(d.name for d in dimensions)))
        self.architecture = functools.partial(self.family.architecture, **facts)
        self.widest = self.architecture(self.space.largest())
        self.model = self.family.Model(self.widest, drop_path=0.4)
        rng = np.random.default_rng(0)
        self.inputs = random_inputs(facts, rng)
        self.variables = self.filled(self.model, rng)
        self.weights = rng.normal(size=(3, facts['classes'])).astype(np.float32)
        self.key = jax.random.key(7)

    def filled(self, model, rng):
        shapes = jax.eval_shape(model.init, jax.random.key(0), self.inputs(model.arch))
        filled = jax.tree.map(lambda s: np.float32(rng.normal(size=s.shape) * 0.4), shapes)
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: np.abs(leaf) if path[-1].key == 'var' else leaf, filled
        )

    def sizes(self, execution, choices):
        if execution == 'fixed':
            return elastic.fixed(self.family.sizes_of(self.architecture(choices)))
        return sizes_maker(self.space, self.architecture, self.family.sizes_of, execution)(choices)

    @functools.cached_property
    def apply(self):
        return jax.jit(self.model.apply)

    def logits(self, execution, choices, variables=None):
        """Of the supernet's subnet on its inputs."""
        sizes = self.sizes(execution, choices)
        return self.apply(variables or self.variables, self.inputs(self.widest), sizes)

    @functools.cached_property
    def value_and_grad(self):
        def loss(variables, sizes):
            logits, _ = self.model.apply(
                variables, self.inputs(self.widest), sizes, self.key, mutable=['batch_stats']
            )
            return jnp.sum(logits * self.weights), logits

        return jax.jit(jax.value_and_grad(loss, has_aux=True))

    @staticmethod
    def close(a, b, tolerance=2e-4):
        """Asserts that two trees agree to `tolerance` of the largest entry of `b`."""
        scale = max(1, *(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(b)))
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * scale), a, b
        )


@pytest.fixture(scope='session', params=SMALL)
def case(request):
    return Case(request.param)
