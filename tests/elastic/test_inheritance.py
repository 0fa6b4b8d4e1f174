"""A subnet is extracted, a grown supernet inherits: both run as the supernet does."""

import jax
import numpy as np

from s4jax import elastic


def test_extracted_model_equals_the_subnet(case):
    rng = np.random.default_rng(2)
    for _ in range(2):
        choices = case.space.sample(rng)
        alone = case.family.Model(case.architecture(choices))
        params = elastic.inherit(case.variables['params'], case.filled(alone, rng)['params'])
        logits = jax.jit(alone.apply)(case.variables | {'params': params}, case.inputs(alone.arch))
        case.close(logits, case.logits('masked', choices), 1e-5)
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        assert count == case.family.params(alone.arch)


def test_a_larger_supernet_inherits_and_a_smaller_one_is_cut(case):
    rng = np.random.default_rng(4)
    choices = case.space.sample(rng)
    grown = case.space.moved((1,) * len(case.space.dimensions))
    model = case.family.Model(case.architecture(grown.largest()))
    inherited = elastic.inherit(case.variables['params'], case.filled(model, rng)['params'])
    variables, inputs = case.variables | {'params': inherited}, case.inputs(model.arch)
    logits = jax.jit(model.apply)(variables, inputs, case.sizes('fixed', choices))
    case.close(logits, case.logits('fixed', choices), 1e-5)
    case.close(elastic.inherit(inherited, case.variables['params']), case.variables['params'], 0)


def test_only_the_common_prefix_is_taken():
    source = {'a': np.ones((2, 3)), 'blocks': {'b': np.ones((1, 4))}}
    target = {'a': np.zeros((3, 2)), 'c': np.zeros(2), 'blocks': {'b': np.zeros((2, 3))}}
    result = elastic.inherit(source, target)
    np.testing.assert_array_equal(result['a'], [[1, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(result['c'], [0, 0])
    np.testing.assert_array_equal(result['blocks']['b'], [[1, 1, 1], [0, 0, 0]])
    assert not np.any(target['a'])
