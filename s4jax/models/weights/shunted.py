"""Weights of the published Shunted Transformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.models.shunted import Architecture
from s4jax.models.weights.state import State, exported


def variables(state: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The variables of `shunted.Model(arch)` from a state dict of arrays or CPU tensors.

    The running statistics of the stem are among them.
    """
    state = state.get('state_dict', state.get('model', state))
    read = State(state, "the Shunted Transformer's")
    stem, statistics = _stem(read, arch)
    params = {'stem': stem, 'head': read.linear('head', arch.widths[-1], arch.classes)}
    for s, hidden in enumerate(arch.hidden):
        blocks = [_block(read, f'block{s + 1}.{i}', arch, s, h) for i, h in enumerate(hidden)]
        width, embed = arch.widths[s], f'patch_embed{s + 1}'
        stage = {
            'blocks': elastic.join_blocks(blocks),
            'norm': read.norm(f'norm{s + 1}', width),
        }
        if s:
            stage['embed'] = read.conv(f'{embed}.proj', 3, arch.widths[s - 1], width)
            stage['embed_norm'] = read.norm(f'{embed}.norm', width)
        params[f'stage{s + 1}'] = stage
    return {'params': params, 'batch_stats': {'stem': statistics}}


def state_dict(tree: Any, arch: Architecture) -> dict[str, np.ndarray]:
    """The inverse of `variables`; PyTorch's counter of batches, which we do not have, is 0."""
    state = exported(tree, arch, variables)
    counters = {
        name.replace('running_mean', 'num_batches_tracked'): np.zeros((), np.int64)
        for name in state
        if name.endswith('running_mean')
    }
    return state | counters


def _stem(read: State, arch: Architecture) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stem's parameters, and the running statistics of its norms."""
    width, name = arch.stem_width, 'patch_embed1.conv'
    stem, statistics = {'norm': read.norm('patch_embed1.norm', arch.embed_dim)}, {}
    for i in range(arch.num_conv + 1):  # each convolution is followed by a norm and an activation
        size, inputs = (3, width) if i else (7, arch.channels)
        conv, norm = f'{name}.{3 * i}', f'{name}.{3 * i + 1}'
        stem[f'conv{i}'] = read.conv(conv, size, inputs, width, bias=False)
        stem[f'norm{i}'] = read.norm(norm, width)
        statistics[f'norm{i}'] = {
            statistic: read.take(f'{norm}.running_{statistic}', width)
            for statistic in ('mean', 'var')
        }
    stem['patch'] = read.conv(f'{name}.{3 * arch.num_conv + 3}', 2, width, arch.embed_dim)
    return stem, statistics


def _block(read: State, name: str, arch: Architecture, s: int, hidden: int) -> dict[str, Any]:
    """The block of that name, in stage s."""
    d = arch.widths[s]
    return {
        'norm1': read.norm(f'{name}.norm1', d),
        'norm2': read.norm(f'{name}.norm2', d),
        'attention': _attention(read, f'{name}.attn', d, arch.num_heads[s], arch.sr_ratios[s]),
        'fc1': read.linear(f'{name}.mlp.fc1', d, hidden),
        'fc2': read.linear(f'{name}.mlp.fc2', hidden, d),
        'local': read.depthwise(f'{name}.mlp.dwconv.dwconv', hidden),
    }


def _attention(read: State, name: str, d: int, heads: int, ratio: int) -> dict[str, Any]:
    k = d // heads
    layers = {
        'q': read.linear(f'{name}.q', d, (heads, k)),
        'out': read.linear(f'{name}.proj', (heads, k), d),
    }
    if ratio == 1:
        layers['kv'] = read.linear(f'{name}.kv', d, (2, heads, k))
        layers['local'] = read.depthwise(f'{name}.local_conv', heads, k)
        return layers
    for i, r in ((1, ratio), (2, ratio // 2)):
        layers[f'reduce{i}'] = read.conv(f'{name}.sr{i}', r, d, d)
        layers[f'norm{i}'] = read.norm(f'{name}.norm{i}', d)
        layers[f'kv{i}'] = read.linear(f'{name}.kv{i}', d, (2, heads // 2, k))
        layers[f'local{i}'] = read.depthwise(f'{name}.local_conv{i}', heads // 2, k)
    return layers
