"""Weights of published Swin Transformers: Microsoft's checkpoints, and timm's names for the same."""

from collections.abc import Mapping
from typing import Any

from s4jax import elastic
from s4jax.models.swin import Architecture, sizes_of
from s4jax.models.weights.state import State


def variables(state: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The variables of `swin.Model(arch)` from a state dict of arrays or CPU tensors.

    Microsoft's files hold it under 'model' and merge at the end of a stage; newer timm merges at the beginning of the next
    and calls the classifier head.fc. Masks and indices of relative positions are computed here and passed over.
    """
    state = state.get('model', state)
    read, last = State(state, "Microsoft's or timm's Swin"), len(arch.depths) - 1
    later = int(
        f'layers.{last}.downsample.reduction.weight' in state
    )  # in which stage the first merge is

    def block(s: int, i: int, hidden: int) -> dict[str, Any]:
        name, d, heads = f'layers.{s}.blocks.{i}', arch.widths[s], arch.num_heads[s]
        table = read.take(
            f'{name}.attn.relative_position_bias_table', (2 * arch.windows[s] - 1) ** 2, heads
        )
        return {
            'norm1': read.norm(f'{name}.norm1', d),
            'norm2': read.norm(f'{name}.norm2', d),
            'attention': {
                'qkv': read.linear(f'{name}.attn.qkv', d, (3, heads, d // heads)),
                'positions': table,
                'out': read.linear(f'{name}.attn.proj', (heads, d // heads), d),
            },
            'mlp': {
                'fc1': read.linear(f'{name}.mlp.fc1', d, hidden),
                'fc2': read.linear(f'{name}.mlp.fc2', hidden, d),
            },
        }

    params = {
        'patch': read.conv('patch_embed.proj', arch.patch, arch.channels, arch.embed_dim),
        'patch_norm': read.norm('patch_embed.norm', arch.embed_dim),
        'norm': read.norm('norm', arch.widths[-1]),
        'head': read.linear(
            'head.fc' if 'head.fc.weight' in state else 'head', arch.widths[-1], arch.classes
        ),
    }
    for s, stage in enumerate(sizes_of(arch).stages):
        ours = {
            'blocks': elastic.join_blocks(
                [block(s, i, hidden) for i, hidden in enumerate(stage.hidden)]
            )
        }
        if s:
            name, before = f'layers.{s - 1 + later}.downsample', arch.widths[s - 1]
            ours |= {
                'merge_norm': read.norm(f'{name}.norm', 4, before),
                'merge': read.linear(f'{name}.reduction', (4, before), arch.widths[s], bias=False),
            }
        params[f'stage{s + 1}'] = ours
    return {'params': params}
