"""Weights of AutoFormer's published PyTorch supernets, as those of one standalone subnet."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.models.vit import TABLE_ROWS, Architecture
from s4jax.models.weights.state import State, exported


def variables(state: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The variables of `vit.Model(arch)` from a state dict of arrays.

    The state dict is that of the supernet, or of the subnet alone. The rows of the fused qkv weight
    are those of q, k and v in turn (row mod 3), while a subnet takes the first 3·64·heads of the
    bias and reads them as q, k, v one after the other: a subnet's bias is no prefix of q's, k's and
    v's. Hence one subnet is imported and not the supernet.
    """
    d = arch.embed_dim
    read = State(state, "AutoFormer's, with relative positions", prefix=True)
    blocks = [
        _block(read, f'blocks.{i}', arch, heads, hidden)
        for i, (heads, hidden) in enumerate(zip(arch.num_heads, arch.hidden))
    ]
    return {
        'params': {
            'patch': read.conv('patch_embed_super.proj', arch.patch, arch.channels, d),
            'class_token': read.take('cls_token', 1, 1, d)[0, 0],
            'positions': read.take('pos_embed', 1, arch.tokens, d)[0],
            'blocks': elastic.join_blocks(blocks),
            'norm': read.norm('norm', d),
            'head': read.linear('head', d, arch.classes),
        }
    }


def state_dict(tree: Any, arch: Architecture) -> dict[str, np.ndarray]:
    """The inverse of `variables`: a state dict of the smallest supernet that holds the subnet.

    The published module gives all its blocks the sizes of the widest one and takes prefixes: what
    lies beyond a block's own sizes is zero.
    """
    own = exported(tree, arch, variables)
    widest: dict[str, tuple[int, ...]] = {}
    for name, array in own.items():
        kind = _kind(name)
        widest[kind] = tuple(map(max, array.shape, widest.get(kind, array.shape)))
    padded = {}
    for name, array in own.items():
        beyond = [(0, most - n) for n, most in zip(array.shape, widest[_kind(name)])]
        padded[name] = np.pad(array, beyond)
    return padded


def subnet(arch: Architecture) -> dict[str, Any]:
    """The argument of the published module's `set_sample_config` that selects the subnet."""
    return {
        'layer_num': arch.depth,
        'embed_dim': [arch.embed_dim] * arch.depth,
        'num_heads': list(arch.num_heads),
        'mlp_ratio': list(arch.mlp_ratio),
    }


def _kind(name: str) -> str:
    """A name without the number of its block."""
    return re.sub(r'^blocks\.\d+', 'blocks', name)


def _block(read: State, name: str, arch: Architecture, heads: int, hidden: int) -> dict[str, Any]:
    d = arch.embed_dim
    return {
        'norm1': read.norm(f'{name}.attn_layer_norm', d),
        'norm2': read.norm(f'{name}.ffn_layer_norm', d),
        'attention': _attention(read, f'{name}.attn', d, heads, arch.head_dim),
        'mlp': {
            'fc1': read.linear(f'{name}.fc1', d, hidden),
            'fc2': read.linear(f'{name}.fc2', hidden, d),
        },
    }


def _attention(read: State, name: str, d: int, heads: int, k: int) -> dict[str, Any]:
    qkv = read.take(f'{name}.qkv.weight', 3 * heads * k, d)
    kernels = [qkv[part::3].T.reshape(d, heads, k) for part in range(3)]
    bias = read.take(f'{name}.qkv.bias', 3 * heads * k).reshape(3, heads, k)

    def tables(part: str) -> np.ndarray:
        table = f'{name}.rel_pos_embed_{part}.embeddings_table'
        return np.stack([read.take(f'{table}_{axis}', TABLE_ROWS, k) for axis in 'vh'])

    return {
        'qkv': {'kernel': np.stack(kernels, 1), 'bias': bias},
        'out': read.linear(f'{name}.proj', (heads, k), d),
        'key_positions': tables('k'),
        'value_positions': tables('v'),
    }
