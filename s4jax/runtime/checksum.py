"""A checksum of a tree of arrays, computed on the devices where they lie.

It is a sum of whole numbers, so it does not depend on how the arrays are split over devices and
hosts, and takes no copy of them: a checkpoint can be checked without stopping the training.
"""

import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WORDS = (0x243F6A88, 0x85A308D3)  # one 32-bit sum each; any two different numbers
ODD = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)  # odd factors: multiplying by them loses no bit


def checksum(tree: Any) -> str:
    """A checksum of every leaf's name, type, shape, and of every bit and its place."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    sums = jax.device_get(_all_sums([leaf for _, leaf in leaves]))
    result = hashlib.blake2b(digest_size=16)
    for (path, leaf), words in zip(leaves, sums):
        result.update(f'{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape} '.encode())
        result.update(np.asarray(words, '<u4').tobytes())
    return result.hexdigest()


# one program for all leaves: they are summed over the devices in one order everywhere
@functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})
def _all_sums(leaves: list[jax.Array]) -> list[jax.Array]:
    return [_sums(leaf) for leaf in leaves]


def _sums(leaf: jax.Array) -> jax.Array:
    """uint32 (2,): for each word, the sum over all elements of its bits mixed with its place.

    The mixing (the last steps of MurmurHash3) maps no two values of an element to one number, so
    the change of one element is always seen; of several, all but one time in 2^64.
    """
    bits, place, stride = _bits(leaf), jnp.zeros((), jnp.uint32), 1
    for axis in reversed(range(leaf.ndim)):
        index = jax.lax.broadcasted_iota(jnp.uint32, leaf.shape, axis)
        place, stride = place + index * np.uint32(stride % 2**32), stride * leaf.shape[axis]

    def word(seed: int) -> jax.Array:
        mixed = bits * np.uint32(ODD[0]) ^ (place * np.uint32(ODD[1]) + np.uint32(seed))
        for shift, factor in ((16, ODD[1]), (13, ODD[2])):
            mixed = (mixed ^ (mixed >> shift)) * np.uint32(factor)
        return jnp.sum(mixed ^ (mixed >> 16), dtype=jnp.uint32)

    return jnp.stack([word(seed) for seed in WORDS])


def _bits(leaf: jax.Array) -> jax.Array:
    """The bits of every element, as uint32 of the same shape."""
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[leaf.dtype.itemsize]
    return jax.lax.bitcast_convert_type(leaf, unsigned).astype(jnp.uint32)
