"""A switch whose backward pass keeps the residuals of the branch taken alone."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from s4jax.elastic.layers import SAVED
from s4jax.elastic.sizes import Fixed


def switch(index: jax.Array, branches: Sequence[Callable], *operands: Any) -> jax.Array:
    """`lax.switch` whose backward pass keeps the residuals of the branch taken, and no other's.

    Differentiating `lax.switch` saves the residuals of every branch, and rematerialising all of a branch costs a third more
    work. Here each branch saves what it names SAVED, padded to the largest branch, and recomputes the cheap rest.
    """
    policy = jax.checkpoint_policies.save_only_these_names(SAVED)
    pullbacks: dict[int, Callable] = {}

    def residuals(i: int, *operands):
        """The output of branch i and its residuals other than the operands; remembers how to go back from them."""
        out, pullback = jax.vjp(jax.checkpoint(branches[i], policy=policy), *operands)
        leaves, tree = jax.tree.flatten(pullback)
        known = {id(leaf): n for n, leaf in enumerate(jax.tree.leaves(operands))}
        places = [known.get(id(leaf)) for leaf in leaves]
        saved = [leaf for leaf, place in zip(leaves, places) if place is None]

        def restore(saved, operands):
            flat, rest = jax.tree.leaves(operands), iter(saved)
            return tree.unflatten(
                [next(rest) if place is None else flat[place] for place in places]
            )

        pullbacks[i] = restore
        return out, saved

    @jax.custom_vjp
    def call(index, *operands):
        return lax.switch(index, branches, *operands)

    def forward(index, *operands):
        shapes = [
            jax.eval_shape(functools.partial(residuals, i), *operands)[1]
            for i in range(len(branches))
        ]
        slots = [[s[k].shape for s in shapes if len(s) > k] for k in range(max(map(len, shapes)))]
        largest = [tuple(map(max, zip(*slot))) for slot in slots]
        dtypes = [max(shapes, key=len)[k].dtype for k in range(len(largest))]

        def padded(i, *operands):
            out, saved = residuals(i, *operands)
            saved += [jnp.zeros((0,) * len(shape), dtype) for shape, dtype in zip(largest, dtypes)][
                len(saved) :
            ]
            return out, [
                jnp.pad(leaf, [(0, to - n) for n, to in zip(leaf.shape, shape)])
                for leaf, shape in zip(saved, largest)
            ]

        out, saved = lax.switch(
            index, [functools.partial(padded, i) for i in range(len(branches))], *operands
        )
        return out, (
            index,
            saved,
            operands,
            Fixed(tuple(tuple(leaf.shape for leaf in s) for s in shapes)),
        )

    def backward(kept, cotangent):
        index, saved, operands, shapes = kept

        def back(i, saved, operands, cotangent):
            leaves = [leaf[tuple(map(slice, shape))] for leaf, shape in zip(saved, shapes.value[i])]
            return pullbacks[i](leaves, operands)(cotangent)

        gradients = lax.switch(
            index,
            [functools.partial(back, i) for i in range(len(branches))],
            saved,
            operands,
            cotangent,
        )
        return (None, *gradients)

    call.defvjp(forward, backward)
    return call(index, *operands)
