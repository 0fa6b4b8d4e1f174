"""Randomness as a function of (seed, purpose, …): nothing random is saved, it is drawn again.

For `generator`, zeros at the end of a purpose do not count: purposes of one name have one length.
"""

import zlib

import jax
import numpy as np


def _number(part: str | int) -> int:
    """A fixed 32-bit number for a part of a purpose (`hash` differs from process to process)."""
    return part if isinstance(part, int) else zlib.crc32(part.encode())


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """NumPy's generator for decisions on the host: `generator(seed, 'evolve')`."""
    return np.random.default_rng([seed, *map(_number, purpose)])


def number(seed: int, *purpose: str | int) -> int:
    """A seed of its own for a library that wants a number."""
    return int(generator(seed, *purpose).integers(2**31))


def key(seed: int, *purpose: str | int) -> jax.Array:
    """JAX's key for draws on the device, for the same purposes."""
    result = jax.random.key(seed)
    for part in purpose:
        result = jax.random.fold_in(result, _number(part))
    return result
