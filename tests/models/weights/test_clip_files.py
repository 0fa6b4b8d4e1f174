"""Where CLIP's weights are looked for; what is said where they are missing or not CLIP's."""

import json
import sys
import types

import numpy as np
import pytest
from clip_weights import load_oracle, save

from s4jax.errors import UsageError
from s4jax.models.weights.clip import load

ADVICE = 'into a folder and name it, --config.encoder.weights=FOLDER'


@pytest.fixture(scope='module')
def state():
    return load_oracle()[1]


def refusal(weights):
    """The one line that refuses the weights."""
    with pytest.raises(UsageError) as error:
        load(str(weights))
    assert '\n' not in str(error.value)
    return str(error.value)


def test_missing_files(tmp_path):
    message = refusal(tmp_path / 'nowhere')
    assert 'does not exist' in message and ADVICE in message
    assert 'openai/clip-vit-base-patch16' in message
    (tmp_path / 'empty').mkdir()
    assert 'holds none of model.safetensors' in refusal(tmp_path / 'empty')


def test_damaged_weights(state, tmp_path):
    folder = save(tmp_path / 'clip', state)
    data = (folder / 'model.safetensors').read_bytes()
    for length in (0, 5, len(data) // 2):
        (folder / 'model.safetensors').write_bytes(data[:length])
        message = refusal(folder)
        assert 'cannot be read' in message and ADVICE in message


def test_state_dicts_of_something_else(state, tmp_path):
    missing = 'encoder.layers.1.mlp.fc2.bias'
    lacking = {name: array for name, array in state.items() if name != missing}
    message = refusal(save(tmp_path / 'clip', lacking))
    assert f"no '{missing}'" in message and ADVICE in message
    bert = {'bert.embeddings.weight': np.ones((3, 3))}
    message = refusal(save(tmp_path / 'clip', bert))
    assert "no 'embeddings.patch_embedding.weight'" in message
    wide = state | {'post_layernorm.weight': np.ones(48, np.float32)}
    message = refusal(save(tmp_path / 'clip', wide))
    assert "'post_layernorm.weight' has the shape (48,), the architecture needs (32)" in message


def test_settings_of_something_else(state, tmp_path):
    for name, value in (('hidden_act', 'gelu_pytorch_tanh'), ('layer_norm_eps', 1e-6)):
        other = {'vision_config': {'num_attention_heads': 4, name: value}}
        assert f'{name}={value!r}' in refusal(save(tmp_path / 'clip', state, other))
    for heads in (3, -4, 'four'):
        other = {'vision_config': {'num_attention_heads': heads}}
        message = refusal(save(tmp_path / 'clip', state, other))
        assert f'num_attention_heads={heads!r}' in message
    folder = save(tmp_path / 'clip', state)
    for text, words in (('{', 'is no JSON'), ('[]', 'no settings'), ('3', 'no settings')):
        (folder / 'config.json').write_text(text)
        assert words in refusal(folder)
    (folder / 'config.json').write_text(json.dumps({'num_attention_heads': 4}))
    assert load(str(folder))[0].heads == 4


def test_a_name_of_the_hub(state, tmp_path, monkeypatch):
    """With the library, without it, and offline. A stand-in plays the library: no test uses the
    network."""
    folder, asked = save(tmp_path / 'snapshot', state), []

    def downloaded(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        if name == 'openai/offline':
            raise ConnectionError('no network')
        return str(folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        sys.modules, 'huggingface_hub', types.SimpleNamespace(snapshot_download=downloaded)
    )
    assert load('openai/clip')[0].layers == 3
    assert asked == [('openai/clip', ('model.safetensors', 'config.json', 'tokenizer.json'))]
    assert 'could not be downloaded from the hub (ConnectionError)' in refusal('openai/offline')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    advice = "pip install 's4jax[hub]', or download model.safetensors and config.json of "
    advice += 'https://huggingface.co/openai/clip'
    assert advice in refusal('openai/clip')
