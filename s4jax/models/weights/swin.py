"""Weights of published Swin Transformers: Microsoft's checkpoints, and timm's names for them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.models import windows
from s4jax.models.swin import Architecture
from s4jax.models.weights.state import State, exported


def variables(state: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The variables of `swin.Model(arch)` from a state dict of arrays or CPU tensors.

    Microsoft's files hold it under 'model' and merge at the end of a stage; newer timm merges at
    the beginning of the next one and calls the classifier head.fc. Masks and indices of relative
    positions are computed here and not read.
    """
    state = state.get('model', state)
    read, last = State(state, "Microsoft's or timm's Swin"), len(arch.depths) - 1
    merged_at_start = f'layers.{last}.downsample.reduction.weight' in state
    head = 'head.fc' if 'head.fc.weight' in state else 'head'
    params: dict[str, Any] = {
        'patch': read.conv('patch_embed.proj', arch.patch, arch.channels, arch.embed_dim),
        'patch_norm': read.norm('patch_embed.norm', arch.embed_dim),
        'norm': read.norm('norm', arch.widths[-1]),
        'head': read.linear(head, arch.widths[-1], arch.classes),
    }
    for s, hidden in enumerate(arch.hidden):
        blocks = [_block(read, f'layers.{s}.blocks.{i}', arch, s, h) for i, h in enumerate(hidden)]
        stage = {'blocks': elastic.join_blocks(blocks)}
        if s:
            name = f'layers.{s if merged_at_start else s - 1}.downsample'
            before, width = arch.widths[s - 1], arch.widths[s]
            stage['merge_norm'] = read.norm(f'{name}.norm', 4, before)
            stage['merge'] = read.linear(f'{name}.reduction', (4, before), width, bias=False)
        params[f'stage{s + 1}'] = stage
    return {'params': params}


def state_dict(tree: Any, arch: Architecture) -> dict[str, np.ndarray]:
    """The inverse of `variables`, by Microsoft's names, with the masks and indices of its module.

    A block is shifted where it is odd and its map is larger than the window.
    """
    state = exported(tree, arch, variables)
    for s, (depth, side, window) in enumerate(zip(arch.depths, arch.maps, arch.windows)):
        for i in range(depth):
            block = f'layers.{s}.blocks.{i}'
            state[f'{block}.attn.relative_position_index'] = windows.relative(window)
            if i % 2 and side > window:
                state[f'{block}.attn_mask'] = windows.mask(side, window)[:, 0]
    return state


def timm_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict by Microsoft's names as timm has it since 0.9: see `variables`.

    timm computes masks and indices itself and keeps them in no state dict.
    """

    def renamed(name: str) -> str:
        part, _, rest = name.partition('.downsample')
        if rest:
            stage = int(part.removeprefix('layers.'))
            return f'layers.{stage + 1}.downsample{rest}'
        return name.replace('head.', 'head.fc.')

    computed = ('attn_mask', 'relative_position_index')
    return {renamed(n): a for n, a in state.items() if not n.endswith(computed)}


def _block(read: State, name: str, arch: Architecture, s: int, hidden: int) -> dict[str, Any]:
    """The block of that name, in stage s."""
    d, heads, rows = arch.widths[s], arch.num_heads[s], (2 * arch.windows[s] - 1) ** 2
    return {
        'norm1': read.norm(f'{name}.norm1', d),
        'norm2': read.norm(f'{name}.norm2', d),
        'attention': {
            'qkv': read.linear(f'{name}.attn.qkv', d, (3, heads, d // heads)),
            'positions': read.take(f'{name}.attn.relative_position_bias_table', rows, heads),
            'out': read.linear(f'{name}.attn.proj', (heads, d // heads), d),
        },
        'mlp': {
            'fc1': read.linear(f'{name}.mlp.fc1', d, hidden),
            'fc2': read.linear(f'{name}.mlp.fc2', hidden, d),
        },
    }
