"""Weights of AutoFormer's published PyTorch supernets, as those of one standalone subnet."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.models.vit import Architecture, sizes_of
from s4jax.models.weights.state import State


def variables(state: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The variables of `vit.Model(arch)` from a state dict of arrays (of the supernet, or of the subnet alone).

    The fused qkv weight has the rows of q, k and v interleaved (row mod 3), while a subnet takes the first 3·64·heads of
    the bias and reads them as q, k, v one after the other: a subnet's bias is no prefix of q's, k's and v's. Hence the
    import of one subnet and not of the supernet.
    """
    d, k, grid = arch.embed_dim, arch.head_dim, arch.grid
    read = State(state, "AutoFormer's, with relative positions", prefix=True)

    def block(i: int, heads: int, hidden: int) -> dict[str, Any]:
        name = f'blocks.{i}'
        qkv = read.take(f'{name}.attn.qkv.weight', 3 * heads * k, d)
        tables = {
            f'{ours}_positions': np.stack(
                [
                    read.take(f'{name}.attn.rel_pos_embed_{theirs}.embeddings_table_{axis}', 30, k)
                    for axis in 'vh'
                ]
            )
            for ours, theirs in (('key', 'k'), ('value', 'v'))
        }
        attention = {
            'qkv': {
                'kernel': np.stack([qkv[part::3].T.reshape(d, heads, k) for part in range(3)], 1),
                'bias': read.take(f'{name}.attn.qkv.bias', 3 * heads * k).reshape(3, heads, k),
            },
            'out': read.linear(f'{name}.attn.proj', (heads, k), d),
        } | tables
        return {
            'norm1': read.norm(f'{name}.attn_layer_norm', d),
            'norm2': read.norm(f'{name}.ffn_layer_norm', d),
            'attention': attention,
            'mlp': {
                'fc1': read.linear(f'{name}.fc1', d, hidden),
                'fc2': read.linear(f'{name}.fc2', hidden, d),
            },
        }

    widest = sizes_of(arch)
    return {
        'params': {
            'patch': read.conv('patch_embed_super.proj', arch.patch, arch.channels, d),
            'class_token': read.take('cls_token', 1, 1, d)[0, 0],
            'positions': read.take('pos_embed', 1, grid**2 + 1, d)[0],
            'blocks': elastic.join_blocks(
                [block(i, *each) for i, each in enumerate(zip(widest.num_heads, widest.hidden))]
            ),
            'norm': read.norm('norm', d),
            'head': read.linear('head', d, arch.classes),
        }
    }
