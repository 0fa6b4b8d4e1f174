"""Class names as weights of a classifier, against CLIP's text tower written out in NumPy."""

import sys

import jax
import numpy as np
import pytest
from clip_weights import CONFIG, load_oracle, save, whole

from s4jax.models.weights.clip import class_weights


@pytest.fixture(scope='module')
def state():
    return load_oracle()[1]


TEXT = {
    'embeddings.token_embedding.weight': (None, 16),
    'embeddings.position_embedding.weight': (12, 16),
    **{
        f'encoder.layers.{i}.{name}': shape
        for i in range(2)
        for name, shape in {
            **{f'self_attn.{part}_proj.weight': (16, 16) for part in ('q', 'k', 'v', 'out')},
            **{f'self_attn.{part}_proj.bias': (16,) for part in ('q', 'k', 'v', 'out')},
            **{f'layer_norm{k}.{kind}': (16,) for k in (1, 2) for kind in ('weight', 'bias')},
            'mlp.fc1.weight': (24, 16),
            'mlp.fc1.bias': (24,),
            'mlp.fc2.weight': (16, 24),
            'mlp.fc2.bias': (16,),
        }.items()
    },
    'final_layer_norm.weight': (16,),
    'final_layer_norm.bias': (16,),
}


def letters():
    """A tokenizer of letters, with a first and a last token, in the format of CLIP's file."""
    import tokenizers

    vocabulary = {letter: n for n, letter in enumerate('abcdefghijklmnopqrstuvwxyz.')} | {
        '<s>': 27,
        '</s>': 28,
    }
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, '.'))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex('.'), 'isolated')
    made.normalizer = tokenizers.normalizers.Replace(' ', '')
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single='<s> $A </s>', special_tokens=[('<s>', 27), ('</s>', 28)]
    )
    return made


def text_written_out(state, ids):
    """CLIP's text tower on the tokens of one text without padding: each token sees itself and
    those before it."""

    def norm(name, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * state[f'text_model.{name}.weight'] + state[f'text_model.{name}.bias']

    def dense(name, x):
        return x @ state[f'text_model.{name}.weight'].T + state[f'text_model.{name}.bias']

    x = (
        state['text_model.embeddings.token_embedding.weight'][ids]
        + state['text_model.embeddings.position_embedding.weight'][: len(ids)]
    )
    for i in range(2):
        name = f'encoder.layers.{i}'
        y, rows = norm(f'{name}.layer_norm1', x), []
        q, k, v = (dense(f'{name}.self_attn.{part}_proj', y).reshape(-1, 2, 8) for part in 'qkv')
        for t in range(len(ids)):
            weights = np.exp(np.einsum('hk,shk->hs', q[t], k[: t + 1]) / np.sqrt(8))
            rows.append(
                np.einsum(
                    'hs,shk->hk', weights / weights.sum(1, keepdims=True), v[: t + 1]
                ).reshape(-1)
            )
        x = x + dense(f'{name}.self_attn.out_proj', np.stack(rows))
        y = dense(f'{name}.mlp.fc1', norm(f'{name}.layer_norm2', x))
        x = x + dense(f'{name}.mlp.fc2', y / (1 + np.exp(-1.702 * y)))
    return norm('final_layer_norm', x)[-1] @ state['text_projection.weight'].T


def test_class_names_classify(state, tmp_path, monkeypatch):
    """By cosine between image and text, written out; and the reason where a part is missing."""
    rng = np.random.default_rng(0)
    full = (
        whole(state)
        | {
            f'text_model.{name}': rng.normal(size=[n or 29 for n in shape]).astype(np.float32) * 0.5
            for name, shape in TEXT.items()
        }
        | {'text_projection.weight': rng.normal(size=(6, 16)).astype(np.float32)}
    )
    full['visual_projection.weight'] = rng.normal(size=(6, 32)).astype(np.float32)
    full = {
        name: array
        for name, array in full.items()
        if 'text_model.encoder' not in name or array.shape != (8,)
    }
    folder = save(tmp_path / 'clip', full, CONFIG | {'text_config': {'num_attention_heads': 2}})
    names = (
        'cat',
        'd',
        'a_very_long_name',
    )  # the last is cut to the 12 tokens that there are positions for
    assert class_weights(str(folder), names) == (None, f'{folder} has no tokenizer.json')
    letters().save(str(folder / 'tokenizer.json'))
    with jax.default_matmul_precision('highest'):
        matrix, what = class_weights(str(folder), names)
    pooled = rng.normal(size=(5, 32))
    images = pooled @ full['visual_projection.weight'].T
    for column, name in zip((pooled @ matrix).T, names):
        row = [27, *(ord(letter) - 97 for letter in f'aphotoofa{name.replace("_", "")}'), 26]
        text = text_written_out(full, [*row[:11], 28])
        np.testing.assert_allclose(column, images @ text / np.linalg.norm(text), rtol=0, atol=5e-5)
    assert what == 'the names of the classes in "a photo of a {}."'
    (folder / 'tokenizer.json').write_text('{')
    assert class_weights(str(folder), names)[1] == f'{folder}/tokenizer.json cannot be read'
    monkeypatch.setitem(sys.modules, 'tokenizers', None)
    assert 'tokenizers is not installed' in class_weights(str(folder), names)[1]
    assert (
        "holds no text tower by Hugging Face's names"
        in class_weights(str(save(folder, state)), names)[1]
    )
