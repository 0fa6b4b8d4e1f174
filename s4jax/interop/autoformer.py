"""Weights of AutoFormer's published PyTorch supernets, as those of one standalone subnet."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.models.vit import Architecture, sizes_of


def parameters(state: Mapping[str, np.ndarray], arch: Architecture) -> dict[str, Any]:
    """The parameters of `vit.Model(arch)` from a state dict of arrays (of the supernet, or of the subnet alone).

    The fused qkv weight has the rows of q, k and v interleaved (row mod 3), while a subnet takes the first 3·64·heads of
    the bias and reads them as q, k, v one after the other: a subnet's bias is no prefix of q's, k's and v's. Hence the
    import of one subnet and not of the supernet.
    """
    d, k = arch.embed_dim, arch.head_dim

    def take(name: str, *shape: int) -> np.ndarray:
        if name not in state:
            raise UsageError(f"the state dict has no '{name}': is it AutoFormer's, with relative positions?")
        array = np.asarray(state[name])
        if array.ndim != len(shape) or any(n > have for n, have in zip(shape, array.shape)):
            raise UsageError(f"'{name}' has the shape {array.shape}, the architecture needs {shape}")
        return array[tuple(slice(n) for n in shape)]

    def norm(name: str) -> dict[str, np.ndarray]:
        return {'scale': take(f'{name}.weight', d), 'bias': take(f'{name}.bias', d)}

    def linear(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return {'kernel': take(f'{name}.weight', outputs, inputs).T, 'bias': take(f'{name}.bias', outputs)}

    def block(i: int, heads: int, hidden: int) -> dict[str, Any]:
        name = f'blocks.{i}'
        qkv = take(f'{name}.attn.qkv.weight', 3 * heads * k, d)
        out = linear(f'{name}.attn.proj', heads * k, d)
        tables = {f'{ours}_positions': np.stack(
            [take(f'{name}.attn.rel_pos_embed_{theirs}.embeddings_table_{axis}', 30, k) for axis in 'vh'])
            for ours, theirs in (('key', 'k'), ('value', 'v'))}
        attention = {'qkv': {'kernel': np.stack([qkv[part::3].T.reshape(d, heads, k) for part in range(3)], 1),
                             'bias': take(f'{name}.attn.qkv.bias', 3 * heads * k).reshape(3, heads, k)},
                     'out': out | {'kernel': out['kernel'].reshape(heads, k, d)}} | tables
        return {'norm1': norm(f'{name}.attn_layer_norm'), 'attention': attention, 'norm2': norm(f'{name}.ffn_layer_norm'),
                'mlp': {'fc1': linear(f'{name}.fc1', d, hidden), 'fc2': linear(f'{name}.fc2', hidden, d)}}

    patch = take('patch_embed_super.proj.weight', d, arch.channels, arch.patch, arch.patch)
    widest = sizes_of(arch)
    return {'patch': {'kernel': patch.transpose(2, 3, 1, 0), 'bias': take('patch_embed_super.proj.bias', d)},
            'class_token': take('cls_token', 1, 1, d)[0, 0], 'positions': take('pos_embed', 1, arch.grid ** 2 + 1, d)[0],
            'blocks': elastic.join_blocks([block(i, *each) for i, each in enumerate(zip(widest.num_heads, widest.hidden))]),
            'norm': norm('norm'), 'head': linear('head', d, arch.classes)}
