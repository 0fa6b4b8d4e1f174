"""A switch whose backward pass keeps the residuals of one branch: the one that was taken."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from s4jax.elastic.layers import recomputed


def switch(index: jax.Array, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`lax.switch` that saves for its backward pass the residuals of one branch, not of all.

    The idea: run `jax.vjp` *inside* the branch that is taken, and return its residuals as plain
    arrays. All branches of a switch must return equal shapes, so residual k is padded to the
    largest residual k of any branch. The backward pass is a second switch: its branch cuts the
    padding off, rebuilds the function that `jax.vjp` gave, and calls it.

    Of its activations, a branch saves those that it names SAVED and computes the rest again, which
    is cheap. (Plain `lax.switch` saves the residuals of every branch; to compute everything again
    costs a third more work.) `index` is () int32.
    """
    own = [_Branch(function) for function in branches]

    @jax.custom_vjp
    def call(index: jax.Array, *operands: Any) -> Any:
        return lax.switch(index, branches, *operands)

    def forward(index: jax.Array, *operands: Any) -> tuple[Any, Any]:
        for branch in own:  # runs nothing: tells the shapes of the residuals
            jax.eval_shape(branch.forward, *operands)
        slots = _slots(own)
        padded = [functools.partial(_padded, branch, slots) for branch in own]
        out, residuals = lax.switch(index, padded, *operands)
        return out, (index, residuals, operands)

    def backward(kept: Any, cotangent: Any) -> tuple[Any, ...]:
        index, *rest = kept
        return (None, *lax.switch(index, [branch.backward for branch in own], *rest, cotangent))

    call.defvjp(forward, backward)
    return call(index, *operands)


class _Branch:
    """A branch in two halves: forward with residuals, and backward from them.

    Tracing `forward` records what `backward` needs to know: `residuals`, the shapes of the
    residuals, and how they and the operands make up the function that `jax.vjp` gave. JAX always
    traces the forward pass first.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.residuals: list[jax.ShapeDtypeStruct] = []
        self._tree: Any = None
        self._operand_of: list[int | None] = []

    def forward(self, *operands: Any) -> tuple[Any, list[jax.Array]]:
        """The branch's output, and its residuals but for those that are operands."""
        out, pullback = jax.vjp(recomputed(self.function), *operands)
        leaves, self._tree = jax.tree.flatten(pullback)
        number = {id(operand): n for n, operand in enumerate(jax.tree.leaves(operands))}
        self._operand_of = [number.get(id(leaf)) for leaf in leaves]
        saved = [leaf for leaf, n in zip(leaves, self._operand_of) if n is None]
        self.residuals = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in saved]
        return out, saved

    def backward(self, padded: list[jax.Array], operands: Any, cotangent: Any) -> Any:
        """The cotangents of the operands, from the residuals with their padding."""
        saved = iter(
            [leaf[tuple(map(slice, own.shape))] for leaf, own in zip(padded, self.residuals)]
        )
        given = jax.tree.leaves(operands)
        leaves = [next(saved) if n is None else given[n] for n in self._operand_of]
        return self._tree.unflatten(leaves)(cotangent)


def _slots(branches: Sequence[_Branch]) -> list[jax.ShapeDtypeStruct]:
    """Residual k's shape that every branch's residual k fits into, for each k."""
    most = max((branch.residuals for branch in branches), key=len)
    slots = []
    for k, one in enumerate(most):
        shapes = [branch.residuals[k].shape for branch in branches if len(branch.residuals) > k]
        slots.append(jax.ShapeDtypeStruct(tuple(map(max, zip(*shapes))), one.dtype))
    return slots


def _padded(
    branch: _Branch, slots: Sequence[jax.ShapeDtypeStruct], *operands: Any
) -> tuple[Any, list[jax.Array]]:
    """`branch.forward` with residuals of the shapes `slots`, zero beyond its own."""
    out, saved = branch.forward(*operands)
    saved += [jnp.zeros((0,) * len(slot.shape), slot.dtype) for slot in slots[len(saved) :]]
    return out, [
        jnp.pad(leaf, [(0, to - n) for n, to in zip(leaf.shape, slot.shape)])
        for leaf, slot in zip(saved, slots)
    ]
