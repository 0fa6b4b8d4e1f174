"""CLIP's state dicts as variables of our towers.

The names of Hugging Face are read; those of OpenAI and OpenCLIP are translated to them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.models.clip.tower import Architecture, TextTower
from s4jax.models.weights.clip_files import advice
from s4jax.models.weights.state import State

NAMES = {  # OpenAI's names of a block's layers -> Hugging Face's
    'ln_1': 'layer_norm1',
    'ln_2': 'layer_norm2',
    'attn.out_proj': 'self_attn.out_proj',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
}
OUTSIDE = {  # those outside the blocks
    'class_embedding': 'embeddings.class_embedding',
    'conv1.weight': 'embeddings.patch_embedding.weight',
    'positional_embedding': 'embeddings.position_embedding.weight',
    'ln_pre.weight': 'pre_layrnorm.weight',
    'ln_pre.bias': 'pre_layrnorm.bias',
    'ln_post.weight': 'post_layernorm.weight',
    'ln_post.bias': 'post_layernorm.bias',
}
LAYER = 'encoder.layers.'


def vision_names(names: Iterable[str]) -> list[str]:
    """Those of the vision tower: the names with its prefix, or all where none has one."""
    known = list(names)
    for prefix in ('vision_model.', 'visual.'):
        found = [name for name in known if name.startswith(prefix)]
        if found:
            return found
    return known


def renamed(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A vision tower by Hugging Face's names without their prefix; the fused in_proj of OpenAI
    becomes q, k and v."""
    result = {}
    for name, array in state.items():
        name = name.removeprefix('vision_model.')
        if not name.startswith('visual.'):
            result[name] = array
            continue
        name = name.removeprefix('visual.')
        match = re.fullmatch(r'transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)', name)
        if match is None:
            result[OUTSIDE.get(name, name)] = array
            continue
        i, layer, kind = match.groups()
        if layer == 'attn.in_proj':
            for part, piece in zip('qkv', np.split(array, 3)):
                result[f'{LAYER}{i}.self_attn.{part}_proj.{kind}'] = piece
        else:
            result[f'{LAYER}{i}.{NAMES.get(layer, layer)}.{kind}'] = array
    return result


def vision_tower(
    state: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> tuple[Architecture, Any]:
    """The sizes and the variables of `Tower` from a state dict by Hugging Face's names.

    `settings` may hold the number of heads; else heads are 64 wide.
    """
    read = _state(state)
    patches = read.take('embeddings.patch_embedding.weight', None, None, None, None)
    d, channels, patch, _ = patches.shape
    positions = read.take('embeddings.position_embedding.weight', None, d)
    arch = Architecture(
        image_size=round((len(positions) - 1) ** 0.5) * patch,
        channels=channels,
        patch=patch,
        width=d,
        layers=depth(state),
        heads=_heads(settings, d),
        hidden=_hidden(read, d),
    )
    params = {
        'patch': {'kernel': patches.transpose(2, 3, 1, 0)},
        'class_token': read.take('embeddings.class_embedding', d),
        'positions': read.take('embeddings.position_embedding.weight', arch.tokens, d),
        'norm_before': read.norm('pre_layrnorm', d),
        'blocks': _blocks(read, d, arch.heads, arch.hidden),
        'norm_after': read.norm('post_layernorm', d),
    }
    return arch, {'params': params}


def text_tower(
    state: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> tuple[TextTower, Any]:
    """The text tower and its variables from a state dict by Hugging Face's names, as above."""
    read = _state(state)
    embedding = read.take('embeddings.token_embedding.weight', None, None)
    vocabulary, d = embedding.shape
    positions = read.take('embeddings.position_embedding.weight', None, d)
    hidden, heads = _hidden(read, d), _heads(settings, d)
    tower = TextTower(vocabulary, len(positions), d, depth(state), heads, hidden)
    params = {
        'embedding': embedding,
        'positions': positions,
        'blocks': _blocks(read, d, heads, hidden),
        'norm_after': read.norm('final_layer_norm', d),
    }
    return tower, {'params': params}


def projection(
    state: Mapping[str, np.ndarray], kind: str, shared: int | None, width: int | None
) -> np.ndarray:
    """The matrix (shared, width) from a tower's pooled states to the space that both towers share.

    `kind` is text or visual; a size of None stands for any.
    """
    return _state(state).take(f'{kind}_projection.weight', shared, width)


def depth(names: Iterable[str]) -> int:
    """The number of layers that a state dict names."""
    numbers = (int(name.split('.')[2]) for name in names if name.startswith(LAYER))
    return 1 + max(numbers, default=-1)


def _state(arrays: Mapping[str, np.ndarray]) -> State:
    return State(arrays, 'that of a CLIP vision transformer', advice=advice())


def _heads(settings: Mapping[str, Any], width: int) -> int:
    heads = settings.get('num_attention_heads') or max(1, width // 64)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise UsageError(
            f'config.json has num_attention_heads={heads!r}, which does not divide the width '
            f'{width} of the weights: download it again'
        )
    return heads


def _hidden(read: State, width: int) -> int:
    return read.take(f'{LAYER}0.mlp.fc1.weight', None, width).shape[0]


def _blocks(read: State, d: int, heads: int, hidden: int) -> Any:
    """The blocks' parameters, each with a leading axis (depth, …)."""
    head_dim = d // heads

    def block(i: int) -> dict[str, Any]:
        name = f'{LAYER}{i}'
        qkv = [read.linear(f'{name}.self_attn.{part}_proj', d, (heads, head_dim)) for part in 'qkv']
        return {
            'norm1': read.norm(f'{name}.layer_norm1', d),
            'norm2': read.norm(f'{name}.layer_norm2', d),
            'qkv': {
                'kernel': np.stack([part['kernel'] for part in qkv], 1),
                'bias': np.stack([part['bias'] for part in qkv]),
            },
            'out': read.linear(f'{name}.self_attn.out_proj', (heads, head_dim), d),
            'mlp': {
                'fc1': read.linear(f'{name}.mlp.fc1', d, hidden),
                'fc2': read.linear(f'{name}.mlp.fc2', hidden, d),
            },
        }

    return elastic.stacked(map(block, range(depth(read.arrays))))
