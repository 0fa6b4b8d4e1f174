"""Masked = sliced = static = extracted: values and gradients, over random architectures and random weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4jax import elastic
from s4jax.models import ENCODERS, FAMILIES
from s4jax.pipeline import sizes_maker
from s4jax.search.space import Dimension, SearchSpace

HIERARCHICAL = (  # in Swin, the second block of stage 1 is shifted, and stage 2 is one window
    Dimension('embed_dim', 4, 8, 2),
    Dimension('depth_1', 1, 2, 1),
    Dimension('depth_2', 1, 2, 1),
    Dimension('mlp_ratio', 1.5, 2.5, 1, per_block=True),
)
SMALL = {
    'vit': (
        dict(image_size=8, channels=1, patch=2, head_dim=8, classes=5),
        (
            Dimension('embed_dim', 16, 32, 8),
            Dimension('depth', 1, 3, 1),
            Dimension('num_heads', 1, 3, 1, per_block=True),
            Dimension('mlp_ratio', 1.5, 2.5, 0.5, per_block=True),
        ),
    ),
    'swin': (
        dict(image_size=16, channels=1, patch=2, window=4, num_heads=(1, 2), classes=5),
        HIERARCHICAL,
    ),
    'shunted': (
        dict(
            image_size=16, channels=1, num_heads=(2, 4), sr_ratios=(2, 1), stem_width=6, classes=5
        ),
        (Dimension('embed_dim', 4, 8, 2), Dimension('depth_1', 1, 1, 1), *HIERARCHICAL[2:]),
    ),
    'clip': (
        dict(image_size=4, channels=1, patch=2, width=16, head_dim=4, cross_heads=2, classes=5),
        (
            Dimension('embed_dim', 8, 12, 4),
            Dimension('depth', 1, 3, 1),
            Dimension('num_heads', 1, 3, 2, per_block=True),
            Dimension('mlp_ratio', 1.5, 2.5, 1, per_block=True),
        ),
    ),
}


def random_inputs(name, facts, rng):
    """A function of an architecture: images, or the states of an encoder's last arch.depth layers."""
    if name not in ENCODERS:
        images = rng.normal(
            size=(3, facts['image_size'], facts['image_size'], facts['channels'])
        ).astype(np.float32)
        return lambda arch: images
    first, *layers = rng.normal(
        size=(6, 3, (facts['image_size'] // facts['patch']) ** 2 + 1, facts['width'])
    ).astype(np.float32)
    return lambda arch: (first, *layers[-arch.depth :])


class Case:
    """A family's supernet with random weights everywhere (an initial scale of 1 or bias of 0 would hide a wrong slice)."""

    def __init__(self, name):
        facts, dimensions = SMALL[name]
        self.family = FAMILIES[name]
        self.space = SearchSpace(dimensions, self.family.stages(tuple(d.name for d in dimensions)))
        self.architecture = functools.partial(self.family.architecture, **facts)
        self.widest = self.architecture(self.space.largest())
        self.model = self.family.Model(self.widest, drop_path=0.4)
        rng = np.random.default_rng(0)
        self.inputs = random_inputs(name, facts, rng)
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

    @functools.cached_property
    def value_and_grad(self):
        def loss(variables, sizes):
            logits, _ = self.model.apply(
                variables, self.inputs(self.widest), sizes, self.key, mutable=['batch_stats']
            )
            return jnp.sum(logits * self.weights), logits

        return jax.jit(jax.value_and_grad(loss, has_aux=True))


@pytest.fixture(scope='module', params=SMALL)
def case(request):
    return Case(request.param)


def close(a, b, tolerance=2e-4):
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(b))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1, scale)), a, b
    )


def test_masked_and_sliced_equal_static_in_values_and_gradients(case):
    """With stochastic depth on: its draws must not depend on how a subnet is run."""
    for choices in (case.space.smallest(), case.space.sample(np.random.default_rng(1))):
        (_, logits), gradients = case.value_and_grad(case.variables, case.sizes('fixed', choices))
        for execution in ('masked', 'sliced'):
            (_, other), others = case.value_and_grad(case.variables, case.sizes(execution, choices))
            close(other, logits)
            close(others, gradients)


def outside(gradients, small):
    """The gradients with zeros where a smaller model has weights."""
    if isinstance(gradients, list):
        return [outside(*pair) for pair in zip(gradients, small)] + gradients[len(small) :]
    if isinstance(gradients, dict):
        return {
            name: outside(
                elastic.split_blocks(gradients[name]),
                elastic.split_blocks(jax.tree.map(empty, small[name])),
            )
            if name == 'blocks'
            else outside(gradients[name], small[name])
            if name in small
            else gradients[name]
            for name in gradients
        }
    result = np.array(gradients)
    result[tuple(map(slice, small.shape))] = 0
    return result


def empty(shaped):
    return np.zeros(shaped.shape)


def test_gradients_are_exactly_zero_outside_the_prefix(case):
    choices = case.space.smallest()
    alone = case.architecture(choices)
    small = jax.eval_shape(case.family.Model(alone).init, jax.random.key(0), case.inputs(alone))[
        'params'
    ]
    for execution in ('fixed', 'masked', 'sliced'):
        _, gradients = case.value_and_grad(case.variables, case.sizes(execution, choices))
        rest = outside(jax.device_get(gradients['params']), small)
        assert all(not np.any(leaf) for leaf in jax.tree.leaves(rest)), execution
        assert np.any(gradients['params']['head']['kernel'])


def test_extracted_model_equals_the_subnet(case):
    rng = np.random.default_rng(2)
    for _ in range(2):
        choices = case.space.sample(rng)
        alone = case.family.Model(case.architecture(choices))
        target = case.filled(alone, rng)
        params = elastic.inherit(case.variables['params'], target['params'])
        logits = jax.jit(alone.apply)(case.variables | {'params': params}, case.inputs(alone.arch))
        close(
            logits,
            case.apply(case.variables, case.inputs(case.widest), case.sizes('masked', choices)),
            1e-5,
        )
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == case.family.params(
            case.architecture(choices)
        )


def test_many_architectures_at_once_equal_one_by_one(case):
    rng = np.random.default_rng(3)
    several = [case.space.sample(rng) for _ in range(5)]
    stacked = jax.tree.map(
        lambda *leaves: np.stack(leaves), *(case.sizes('masked', choices) for choices in several)
    )
    together = jax.jit(jax.vmap(case.model.apply, (None, None, 0)))(
        case.variables, case.inputs(case.widest), stacked
    )
    for logits, choices in zip(together, several):
        close(
            logits,
            case.apply(case.variables, case.inputs(case.widest), case.sizes('masked', choices)),
            1e-5,
        )


def test_a_larger_supernet_inherits_and_a_smaller_one_is_cut(case):
    rng = np.random.default_rng(4)
    choices = case.space.sample(rng)
    grown = case.space.moved((1,) * len(case.space.dimensions))
    target = case.filled(case.family.Model(case.architecture(grown.largest())), rng)['params']
    inherited = elastic.inherit(case.variables['params'], target)
    model = case.family.Model(case.architecture(grown.largest()))
    logits = jax.jit(model.apply)(
        case.variables | {'params': inherited},
        case.inputs(model.arch),
        case.sizes('fixed', choices),
    )
    close(
        logits,
        case.apply(case.variables, case.inputs(case.widest), case.sizes('fixed', choices)),
        1e-5,
    )
    close(elastic.inherit(inherited, case.variables['params']), case.variables['params'], 0)


def test_compilations_are_few(case):
    """One program for all masked subnets, one per width for sliced ones."""
    rng = np.random.default_rng(5)
    for execution in ('masked', 'sliced'):
        compiled = jax.jit(
            lambda variables, sizes: case.model.apply(variables, case.inputs(case.widest), sizes)
        )
        sampled = [case.space.sample(rng) for _ in range(12)]
        sampled = [
            choices
            for choices in sampled
            if choices['embed_dim'] < case.space.largest()['embed_dim']
        ]
        for choices in sampled:
            compiled(case.variables, case.sizes(execution, choices))
        widths = len({choices['embed_dim'] for choices in sampled})
        assert widths in (1, 2) and compiled._cache_size() == (
            1 if execution == 'masked' else widths
        )


def test_prefix():
    array = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(elastic.prefix(jnp.asarray(array), 2, 3), array[:, :2, :3])
    masked = elastic.prefix(jnp.asarray(array), jnp.asarray(2), jnp.asarray(3))
    expected = np.zeros_like(array)
    expected[:, :2, :3] = array[:, :2, :3]
    np.testing.assert_array_equal(masked, expected)
    with pytest.raises(ValueError, match='a prefix of 5 exceeds the axis of 4'):
        elastic.prefix(jnp.asarray(array), 5)


def test_drop_path_is_linear_over_the_depth_and_keeps_the_mean():
    factors = np.asarray(elastic.drop_path(jax.random.key(0), 0.5, 5, 4000))
    kept = (factors > 0).mean(axis=(1, 2))
    np.testing.assert_allclose(kept, 1 - np.linspace(0, 0.5, 5), atol=0.02)
    np.testing.assert_allclose(factors.mean(axis=(1, 2)), 1, atol=0.04)
