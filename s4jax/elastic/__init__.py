"""Elastic layers: weights of the widest architecture; a smaller one uses a prefix of every axis.

A size says how. An int slices: the result is smaller, and so is the work. A traced integer masks:
the shape stays, entries beyond the prefix are zero, and many architectures share one matmul under
`vmap`. A `Choice` switches between ints, block by block.
"""

from s4jax.elastic.attention import attend, attend_by_head
from s4jax.elastic.inheritance import inherit
from s4jax.elastic.layers import (
    Conv,
    DepthwiseConv,
    LayerNorm,
    Linear,
    Mlp,
    fan_out,
    parameter,
    patches,
    prefix,
    saved,
    weight,
)
from s4jax.elastic.place import Place, on
from s4jax.elastic.sizes import (
    Choice,
    Fixed,
    PerBlock,
    Size,
    fixed,
    masked,
    options,
    resolve,
    stacked,
    switched,
)
from s4jax.elastic.stacks import (
    DropKey,
    Part,
    blocks,
    drop_path,
    init_blocks,
    join_blocks,
    run_blocks,
    split_blocks,
)
from s4jax.elastic.switching import switch

__all__ = [
    'Choice',
    'Conv',
    'DepthwiseConv',
    'DropKey',
    'Fixed',
    'LayerNorm',
    'Linear',
    'Mlp',
    'Part',
    'PerBlock',
    'Place',
    'Size',
    'attend',
    'attend_by_head',
    'blocks',
    'drop_path',
    'fan_out',
    'fixed',
    'inherit',
    'init_blocks',
    'join_blocks',
    'masked',
    'on',
    'options',
    'parameter',
    'patches',
    'prefix',
    'resolve',
    'run_blocks',
    'saved',
    'split_blocks',
    'stacked',
    'switch',
    'switched',
    'weight',
]
