"""CLIP's weights by the names of each publisher, and a whole small model, for the tests."""

import json

import numpy as np
import safetensors.numpy
from published import state as state_of
from runs import ORACLES

from s4jax.models.clip.tower import Architecture
from s4jax.models.weights import clip_names

CONFIG = {'vision_config': {'num_attention_heads': 4, 'hidden_act': 'quick_gelu'}}
ARCH = Architecture(image_size=32, patch=8, width=32, layers=3, heads=4, hidden=128)


def load_oracle():
    """(the oracle's file, its state dict by Hugging Face's names without prefix)."""
    oracle = np.load(ORACLES / 'clip_vision.npz')
    return oracle, state_of(oracle, 'param:')


def whole(state):
    """A full CLIPModel's names: the text tower and the projections are there, too."""
    return {f'vision_model.{name}': array for name, array in state.items()} | {
        'text_model.encoder.layers.0.layer_norm1.weight': np.ones(8, np.float32),
        'logit_scale': np.ones((), np.float32),
        'visual_projection.weight': np.ones((6, 32), np.float32),
    }


def openai(state):
    """OpenAI's names, with q, k and v fused, and in half precision as they were published."""
    outside = {ours: theirs for theirs, ours in clip_names.OUTSIDE.items()}
    inside = {ours: theirs for theirs, ours in clip_names.NAMES.items()}
    result = {
        'logit_scale': np.ones(()),
        'transformer.resblocks.0.ln_1.weight': np.ones(8),
        'visual.proj': np.ones((32, 6)),
    }
    for name, array in state.items():
        if name in outside:
            result[f'visual.{outside[name]}'] = array
            continue
        _, _, i, rest = name.split('.', 3)
        place, kind = rest.rsplit('.', 1)
        block = f'visual.transformer.resblocks.{i}'
        if place in inside:
            result[f'{block}.{inside[place]}.{kind}'] = array
        else:
            result[f'{block}.attn.in_proj_{kind}'] = np.concatenate(
                [state[f'encoder.layers.{i}.self_attn.{part}_proj.{kind}'] for part in 'qkv']
            )
    return result


def save(folder, state, config=CONFIG, name='model.safetensors'):
    folder.mkdir(exist_ok=True)
    safetensors.numpy.save_file(
        {key: np.ascontiguousarray(array) for key, array in state.items()}, folder / name
    )
    if config:
        (folder / 'config.json').write_text(json.dumps(config))
    return folder
