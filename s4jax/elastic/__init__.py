"""Elastic layers: weights of the widest architecture, of which any smaller one uses a prefix of every axis.

A size says how: an int slices (the result is smaller, and so is the work), a traced integer masks (the shape stays, entries
beyond the prefix are zero, and many architectures share one matmul under `vmap`), a `Choice` switches between ints.
"""

from s4jax.elastic.attention import attend
from s4jax.elastic.blocks import (
    blocks,
    drop_path,
    init_blocks,
    join_blocks,
    run_blocks,
    split_blocks,
)
from s4jax.elastic.inherit import inherit
from s4jax.elastic.layers import (
    SAVED,
    Conv,
    DepthwiseConv,
    LayerNorm,
    Linear,
    Mlp,
    fan_out,
    patches,
    prefix,
    weight,
)
from s4jax.elastic.sizes import Choice, Fixed, fixed, masked, options, resolve, switched
from s4jax.elastic.switch import switch

__all__ = [
    'SAVED',
    'Choice',
    'Conv',
    'DepthwiseConv',
    'Fixed',
    'LayerNorm',
    'Linear',
    'Mlp',
    'attend',
    'blocks',
    'drop_path',
    'fan_out',
    'fixed',
    'inherit',
    'init_blocks',
    'join_blocks',
    'masked',
    'options',
    'patches',
    'prefix',
    'resolve',
    'run_blocks',
    'split_blocks',
    'switch',
    'switched',
    'weight',
]
