"""Masked = sliced = static: values and gradients, over random architectures and random weights."""

import jax
import numpy as np
import pytest

from s4jax import elastic


@pytest.mark.slow
def test_masked_and_sliced_equal_static_in_values_and_gradients(case):
    """With stochastic depth on: its draws must not depend on how a subnet is run."""
    for choices in (case.space.smallest(), case.space.sample(np.random.default_rng(1))):
        (_, logits), gradients = case.value_and_grad(case.variables, case.sizes('fixed', choices))
        for execution in ('masked', 'sliced'):
            (_, other), others = case.value_and_grad(case.variables, case.sizes(execution, choices))
            case.close(other, logits)
            case.close(others, gradients)


def outside(gradients, small):
    """The gradients with zeros where a smaller model has weights."""
    if isinstance(gradients, list):
        return [outside(*pair) for pair in zip(gradients, small)] + gradients[len(small) :]
    if not isinstance(gradients, dict):
        result = np.array(gradients)
        result[tuple(map(slice, small.shape))] = 0
        return result
    result = dict(gradients)
    for name in set(gradients) & set(small):
        ours, theirs = gradients[name], small[name]
        if name == 'blocks':
            ours = elastic.split_blocks(ours)
            theirs = elastic.split_blocks(jax.tree.map(lambda s: np.zeros(s.shape), theirs))
        result[name] = outside(ours, theirs)
    return result


@pytest.mark.slow
def test_gradients_are_exactly_zero_outside_the_prefix(case):
    choices = case.space.smallest()
    alone = case.architecture(choices)
    init = case.family.Model(alone).init
    small = jax.eval_shape(init, jax.random.key(0), case.inputs(alone))['params']
    for execution in ('fixed', 'masked', 'sliced'):
        _, gradients = case.value_and_grad(case.variables, case.sizes(execution, choices))
        rest = outside(jax.device_get(gradients['params']), small)
        assert all(not np.any(leaf) for leaf in jax.tree.leaves(rest)), execution
        assert np.any(gradients['params']['head']['kernel'])


def test_many_architectures_at_once_equal_one_by_one(case):
    rng = np.random.default_rng(3)
    several = [case.space.sample(rng) for _ in range(5)]
    sizes = [case.sizes('masked', choices) for choices in several]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *sizes)
    together = jax.jit(jax.vmap(case.model.apply, (None, None, 0)))
    for logits, choices in zip(
        together(case.variables, case.inputs(case.widest), stacked), several, strict=True
    ):
        case.close(logits, case.logits('masked', choices), 1e-5)


@pytest.mark.slow
def test_compilations_are_few(case):
    """One program for all masked subnets, one per width for sliced ones."""
    rng = np.random.default_rng(5)
    for execution in ('masked', 'sliced'):
        compiled = jax.jit(
            lambda variables, sizes: case.model.apply(variables, case.inputs(case.widest), sizes)
        )
        sampled = [case.space.sample(rng) for _ in range(12)]
        largest = case.space.largest()['embed_dim']
        sampled = [choices for choices in sampled if choices['embed_dim'] < largest]
        for choices in sampled:
            compiled(case.variables, case.sizes(execution, choices))
        widths = len({choices['embed_dim'] for choices in sampled})
        assert widths in (1, 2)
        assert compiled._cache_size() == (1 if execution == 'masked' else widths)
