"""Weights of the published Shunted Transformers."""

from collections.abc import Mapping
from typing import Any

from s4jax import elastic
from s4jax.models.shunted import Architecture, sizes_of
from s4jax.models.weights.state import State


def variables(state: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The variables of `shunted.Model(arch)`, running statistics too, from a state dict of arrays or CPU tensors."""
    state = state.get('state_dict', state.get('model', state))
    read, width = State(state, "the Shunted Transformer's"), arch.stem_width

    def attention(name: str, d: int, heads: int, ratio: int) -> dict[str, Any]:
        k = d // heads
        both = {
            'q': read.linear(f'{name}.q', d, (heads, k)),
            'out': read.linear(f'{name}.proj', (heads, k), d),
        }
        if ratio == 1:
            return both | {
                'kv': read.linear(f'{name}.kv', d, (2, heads, k)),
                'local': read.depthwise(f'{name}.local_conv', heads, k),
            }
        for i, r in ((1, ratio), (2, ratio // 2)):
            both |= {
                f'reduce{i}': read.conv(f'{name}.sr{i}', r, d, d),
                f'norm{i}': read.norm(f'{name}.norm{i}', d),
                f'kv{i}': read.linear(f'{name}.kv{i}', d, (2, heads // 2, k)),
                f'local{i}': read.depthwise(f'{name}.local_conv{i}', heads // 2, k),
            }
        return both

    def block(s: int, i: int, hidden: int) -> dict[str, Any]:
        name, d = f'block{s + 1}.{i}', arch.widths[s]
        return {
            'norm1': read.norm(f'{name}.norm1', d),
            'norm2': read.norm(f'{name}.norm2', d),
            'attention': attention(f'{name}.attn', d, arch.num_heads[s], arch.sr_ratios[s]),
            'fc1': read.linear(f'{name}.mlp.fc1', d, hidden),
            'fc2': read.linear(f'{name}.mlp.fc2', hidden, d),
            'local': read.depthwise(f'{name}.mlp.dwconv.dwconv', hidden),
        }

    stem, statistics = {'norm': read.norm('patch_embed1.norm', arch.embed_dim)}, {}
    for i in range(arch.num_conv + 1):  # each convolution is followed by a norm and an activation
        size, inputs = (3, width) if i else (7, arch.channels)
        stem[f'conv{i}'] = read.conv(f'patch_embed1.conv.{3 * i}', size, inputs, width, bias=False)
        stem[f'norm{i}'] = read.norm(f'patch_embed1.conv.{3 * i + 1}', width)
        statistics[f'norm{i}'] = {
            ours: read.take(f'patch_embed1.conv.{3 * i + 1}.running_{ours}', width)
            for ours in ('mean', 'var')
        }
    stem['patch'] = read.conv(
        f'patch_embed1.conv.{3 * arch.num_conv + 3}', 2, width, arch.embed_dim
    )
    params = {'stem': stem, 'head': read.linear('head', arch.widths[-1], arch.classes)}
    for s, stage in enumerate(sizes_of(arch).stages):
        ours = {
            'blocks': elastic.join_blocks(
                [block(s, i, hidden) for i, hidden in enumerate(stage.hidden)]
            ),
            'norm': read.norm(f'norm{s + 1}', arch.widths[s]),
        }
        if s:
            ours |= {
                'embed': read.conv(
                    f'patch_embed{s + 1}.proj', 3, arch.widths[s - 1], arch.widths[s]
                ),
                'embed_norm': read.norm(f'patch_embed{s + 1}.norm', arch.widths[s]),
            }
        params[f'stage{s + 1}'] = ours
    return {'params': params, 'batch_stats': {'stem': statistics}}
