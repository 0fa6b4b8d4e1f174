"""Spaces, architectures and costs for the tests of evolution, without a model."""

import itertools
import zlib

import numpy as np

from s4jax.search.space import Dimension, SearchSpace

VIT = SearchSpace(
    (
        Dimension('embed_dim', 16, 64, 8),
        Dimension('depth', 2, 5, 1),
        Dimension('num_heads', 1, 6, 1, per_block=True),
        Dimension('mlp_ratio', 1, 4, 0.5, per_block=True),
    ),
    ((1, 'depth'),),
)
SWIN = SearchSpace(
    (
        Dimension('embed_dim', 24, 96, 12),
        Dimension('depth', 2, 6, 2),
        *(Dimension(f'mlp_ratio_{s}', 10 * s, 10 * s + 6, 1, per_block=True) for s in (1, 2, 3, 4)),
        Dimension('num_heads', 1, 4, 1, per_block=True),
    ),
    ((2, None), (2, None), (1, 'depth'), (2, None)),
)
SHUNTED = SearchSpace(
    (
        Dimension('embed_dim', 24, 96, 12),
        Dimension('depth', 1, 4, 1),
        Dimension('mlp_ratio', 1, 9, 1, per_block=True),
    ),
    ((2, None), (1, 'depth'), (3, 'depth'), (1, None)),
)
SEGMENTS = SearchSpace(
    (
        Dimension('embed_dim', 16, 64, 8),
        Dimension('depth_1', 1, 3, 1),
        Dimension('depth_2', 1, 3, 1),
        Dimension('num_heads_1', 1, 6, 1, per_block=True),
        Dimension('num_heads_2', 11, 16, 1, per_block=True),
    ),
    ((1, 'depth_1'), (1, 'depth_2')),
)
NAMED = {'vit': VIT, 'swin': SWIN, 'shunted': SHUNTED, 'segments': SEGMENTS}


class Architecture(tuple):
    """Choices as pairs: hashable, and as JSON."""

    def to_json(self):
        return dict(self)


def frozen(choices):
    return Architecture(choices.items())


def cost(arch):
    """Grows with every gene."""
    return {'params': sum(sum(genes) if isinstance(genes, tuple) else genes for _, genes in arch)}


def all_architectures(space):
    """Every architecture, listed depth by depth."""
    scalars = [d for d in space.dimensions if not d.per_block]
    for values in itertools.product(*(d.values for d in scalars)):
        named = dict(zip([d.name for d in scalars], values))
        per_block = [
            itertools.product(d.values, repeat=space.blocks(d, named))
            if d.per_block
            else [named[d.name]]
            for d in space.dimensions
        ]
        yield from (tuple(zip(space.names, genes)) for genes in itertools.product(*per_block))


def separable(space, seed):
    """score(arch) and the most that it can be.

    The score is the mean, over dimensions and blocks, of a random value for every choice.
    """
    rng = np.random.default_rng(seed)
    values = {d.name: {v: rng.uniform() for v in d.values} for d in space.dimensions}

    def score(arch):
        genes = (
            (values[name], genes if isinstance(genes, tuple) else (genes,)) for name, genes in arch
        )
        return sum(sum(map(value.get, some)) / len(some) for value, some in genes) / len(arch)

    return score, sum(max(value.values()) for value in values.values()) / len(values)


def noise(arch):
    return zlib.crc32(repr(arch).encode()) % 10007 / 10007
