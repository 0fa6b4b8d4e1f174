"""The switch against `lax.switch`: values, gradients, and what it saves for its backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4jax import elastic

WIDTHS = (3, 7, 5)


def branch(width):
    def run(w, x):
        h = elastic.saved(x @ w[:, :width])
        return jnp.tanh(h) @ w[:, :width].T

    return run


BRANCHES = [lambda w, x: x, *map(branch, WIDTHS)]


def operands():
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in ((4, 8), (2, 4)))


def test_values_and_gradients_are_those_of_lax_switch():
    def loss(switch):
        return jax.jit(
            jax.value_and_grad(
                lambda w, x, index: jnp.sum(jnp.sin(switch(index, BRANCHES, w, x))), (0, 1)
            )
        )

    ours, theirs = loss(elastic.switch), loss(lax.switch)
    for index in range(len(BRANCHES)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            ours(*operands(), index),
            theirs(*operands(), index),
        )


def test_only_what_one_branch_needs_is_saved():
    """One array as wide as the widest branch, where `lax.switch` keeps those of all branches."""

    def saved(switch):
        def run(w, x):
            return jax.vjp(lambda w, x: switch(jnp.asarray(1), BRANCHES, w, x), w, x)[1]

        kept = jax.tree.leaves(jax.eval_shape(run, *operands()))
        return [leaf.shape for leaf in kept if leaf.shape not in ((4, 8), (2, 4), ())]

    assert saved(elastic.switch) == [(2, max(WIDTHS))]
    assert len(saved(lax.switch)) > len(WIDTHS)
