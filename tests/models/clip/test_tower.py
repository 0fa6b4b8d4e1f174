"""CLIP's tower against the published states, by every way that its weights come; and what is told of files that are wrong."""

import json
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from runs import ORACLES

from s4jax.errors import UsageError
from s4jax.models.clip import tower as clip
from s4jax.models.weights import clip as importer

CONFIG = {'vision_config': {'num_attention_heads': 4, 'hidden_act': 'quick_gelu'}}


@pytest.fixture(scope='module')
def oracle():
    return np.load(ORACLES / 'clip_vision.npz')


@pytest.fixture(scope='module')
def state(oracle):
    return {
        name.removeprefix('param:'): oracle[name]
        for name in oracle.files
        if name.startswith('param:')
    }


def whole(state):
    """A full CLIPModel's names: the text tower and the projections are there, too."""
    return {f'vision_model.{name}': array for name, array in state.items()} | {
        'text_model.encoder.layers.0.layer_norm1.weight': np.ones(8, np.float32),
        'logit_scale': np.ones((), np.float32),
        'visual_projection.weight': np.ones((6, 32), np.float32),
    }


def openai(state):
    """OpenAI's names, with q, k and v fused, and in half precision as they were published."""
    outside = {ours: theirs for theirs, ours in importer.OUTSIDE.items()}
    inside = {ours: theirs for theirs, ours in importer.NAMES.items()}
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


@pytest.fixture(scope='module')
def apply():
    """The oracle's tower, compiled once for all the ways that its weights come."""
    arch = clip.Architecture(image_size=32, patch=8, width=32, layers=3, heads=4, hidden=128)
    return jax.jit(clip.Tower(arch).apply, static_argnums=2)


def compare(oracle, answer, last):
    states, pooled = answer
    expected = [oracle[f'hidden_state_{i}'] for i in (0, *range(4 - last, 4))] + [
        oracle['pooler_output']
    ]
    for ours, theirs in zip((*states, pooled), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    'naming', [lambda state: state, whole, openai], ids=['vision model', 'whole model', 'OpenAI']
)
def test_every_published_hidden_state(oracle, state, apply, tmp_path, naming):
    arch, variables = importer.load(str(save(tmp_path / 'clip', naming(state))))
    assert arch == clip.Architecture(
        image_size=32, patch=8, width=32, layers=3, heads=4, hidden=128
    )
    with jax.default_matmul_precision('highest'):
        compare(oracle, apply(variables, oracle['images'].transpose(0, 2, 3, 1), 3), 3)


def test_the_last_states_alone(oracle, state, apply):
    _, variables = importer.tower(state, CONFIG['vision_config'])
    with jax.default_matmul_precision('highest'):
        compare(oracle, apply(variables, oracle['images'].transpose(0, 2, 3, 1), 1), 1)


def test_counts_are_those_of_the_tower():
    published = {
        'ViT-B/16': 85_799_424,
        'ViT-B/32': 87_456_000,
        'ViT-L/14': 303_179_776,
    }  # of transformers' CLIPVisionModel
    for name, arch in clip.VARIANTS.items():
        image = jnp.zeros((1, arch.image_size, arch.image_size, arch.channels))
        shapes = jax.eval_shape(clip.Tower(arch).init, jax.random.key(0), image)
        assert clip.params(arch) == sum(leaf.size for leaf in jax.tree.leaves(shapes))
        assert published.get(name, clip.params(arch)) == clip.params(arch), name
    # 196 patches of 768 values; 12 layers: 12 d² a token and 2·197·d a token of attention
    assert clip.macs(clip.VARIANTS['ViT-B/16']) == 196 * 768 * 768 + 12 * 197 * (
        12 * 768**2 + 2 * 197 * 768
    )


def test_a_random_tower_tells_images_apart():
    arch = clip.VARIANTS['tiny']
    variables = clip.random(arch, np.random.default_rng(0))
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 1)).astype(np.float32)
    states, pooled = jax.jit(clip.Tower(arch).apply, static_argnums=2)(variables, images, 2)
    assert all(0.1 < np.std(state[0] - state[1]) < 10 for state in (*states, pooled))


def test_bfloat16_is_near_float32(oracle, state):
    arch, variables = importer.tower(state, CONFIG['vision_config'])
    images = oracle['images'].transpose(0, 2, 3, 1)
    half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), variables)
    (_, last), _ = jax.jit(clip.Tower(arch, jnp.bfloat16).apply, static_argnums=2)(half, images, 1)
    assert last.dtype == jnp.bfloat16
    error = np.asarray(last, np.float32) - oracle['hidden_state_3']
    assert 1e-4 < np.abs(error).mean() / np.abs(oracle['hidden_state_3']).mean() < 3e-2


def told(weights):
    with pytest.raises(UsageError) as error:
        importer.load(str(weights))
    assert '\n' not in str(error.value)
    return str(error.value)


def test_files_that_are_wrong_are_told_in_a_line(state, tmp_path, monkeypatch):
    advice = 'into a folder and name it, --config.encoder.weights=FOLDER'
    message = told(tmp_path / 'nowhere')
    assert (
        'does not exist' in message
        and advice in message
        and 'openai/clip-vit-base-patch16' in message
    )
    (tmp_path / 'empty').mkdir()
    assert 'holds none of model.safetensors' in told(tmp_path / 'empty')
    folder = save(tmp_path / 'clip', state)
    data = (folder / 'model.safetensors').read_bytes()
    for length in (0, 5, len(data) // 2):
        (folder / 'model.safetensors').write_bytes(data[:length])
        message = told(folder)
        assert 'cannot be read' in message and advice in message
    lacking = {
        name: array for name, array in state.items() if name != 'encoder.layers.1.mlp.fc2.bias'
    }
    assert "no 'encoder.layers.1.mlp.fc2.bias'" in told(save(tmp_path / 'clip', lacking))
    assert "no 'embeddings.patch_embedding.weight'" in told(
        save(tmp_path / 'clip', {'bert.embeddings.weight': np.ones((3, 3))})
    )
    wide = state | {'post_layernorm.weight': np.ones(48, np.float32)}
    assert "'post_layernorm.weight' has the shape (48,), not (32,)" in told(
        save(tmp_path / 'clip', wide)
    )
    siglip = {'vision_config': {'num_attention_heads': 4, 'hidden_act': 'gelu_pytorch_tanh'}}
    assert "hidden_act='gelu_pytorch_tanh'" in told(save(tmp_path / 'clip', state, siglip))
    (folder / 'config.json').write_text('{')
    assert 'is no JSON' in told(folder)
    (folder / 'config.json').unlink()
    monkeypatch.setitem(sys.modules, 'torch', None)
    folder = save(tmp_path / 'torch', {}, None, 'pytorch_model.bin')
    assert 'is a PyTorch file: pip install torch to read it, or download' in told(folder)


def test_a_name_of_the_hub(state, tmp_path, monkeypatch):
    """With the library, without it, and offline. The library itself is played here: tests use no network."""
    folder, asked = save(tmp_path / 'snapshot', state), []

    def fetched(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        if name == 'openai/offline':
            raise ConnectionError('no network')
        return str(folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        sys.modules, 'huggingface_hub', types.SimpleNamespace(snapshot_download=fetched)
    )
    assert importer.load('openai/clip')[0].layers == 3
    assert asked == [('openai/clip', ('model.safetensors', 'config.json', 'tokenizer.json'))]
    assert 'could not be fetched from the hub (ConnectionError)' in told('openai/offline')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    advice = "pip install 's4jax[hub]', or download model.safetensors and config.json of https://huggingface.co/openai/clip"
    assert advice in told('openai/clip')


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
    """A tokenizer that knows letters, with a first and a last token, in the file format of CLIP's."""
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
    """CLIP's text tower on the tokens of one text, without padding: each token sees itself and those before it."""

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
    """By cosine between image and text, written out; and what is told where a part is missing."""
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
    assert importer.class_weights(str(folder), names) == (None, f'{folder} has no tokenizer.json')
    letters().save(str(folder / 'tokenizer.json'))
    with jax.default_matmul_precision('highest'):
        matrix, told = importer.class_weights(str(folder), names)
    pooled = rng.normal(size=(5, 32))
    images = pooled @ full['visual_projection.weight'].T
    for column, name in zip((pooled @ matrix).T, names):
        row = [27, *(ord(letter) - 97 for letter in f'aphotoofa{name.replace("_", "")}'), 26]
        text = text_written_out(full, [*row[:11], 28])
        np.testing.assert_allclose(column, images @ text / np.linalg.norm(text), rtol=0, atol=5e-5)
    assert told == 'the names of the classes in "a photo of a {}."'
    (folder / 'tokenizer.json').write_text('{')
    assert (
        importer.class_weights(str(folder), names)[1] == f'{folder}/tokenizer.json cannot be read'
    )
    monkeypatch.setitem(sys.modules, 'tokenizers', None)
    assert 'tokenizers is not installed' in importer.class_weights(str(folder), names)[1]
    assert (
        "holds no text tower by Hugging Face's names"
        in importer.class_weights(str(save(folder, state)), names)[1]
    )
