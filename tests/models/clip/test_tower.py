"""CLIP's towers: the published states by every way that the weights come, counts, text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clip_weights import ARCH, CONFIG, load_oracle, openai, save, whole

from s4jax.errors import UsageError
from s4jax.models.clip import tower as clip
from s4jax.models.weights.clip import load
from s4jax.models.weights.clip_names import vision_tower


@pytest.fixture(scope='module')
def oracle():
    return load_oracle()[0]


@pytest.fixture(scope='module')
def state():
    return load_oracle()[1]


@pytest.fixture(scope='module')
def apply():
    """The oracle's tower, compiled once for all the ways that its weights come."""
    return jax.jit(clip.Tower(ARCH).apply, static_argnums=2)


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
    arch, variables = load(str(save(tmp_path / 'clip', naming(state))))
    assert arch == ARCH
    with jax.default_matmul_precision('highest'):
        compare(oracle, apply(variables, oracle['images'].transpose(0, 2, 3, 1), 3), 3)


def test_the_last_states_alone(oracle, state, apply):
    _, variables = vision_tower(state, CONFIG['vision_config'])
    with jax.default_matmul_precision('highest'):
        compare(oracle, apply(variables, oracle['images'].transpose(0, 2, 3, 1), 1), 1)


def test_counts_are_those_of_the_tower():
    # of transformers' CLIPVisionModel
    published = {'ViT-B/16': 85_799_424, 'ViT-B/32': 87_456_000, 'ViT-L/14': 303_179_776}
    for name, arch in clip.VARIANTS.items():
        image = jnp.zeros((1, arch.image_size, arch.image_size, arch.channels))
        shapes = jax.eval_shape(clip.Tower(arch).init, jax.random.key(0), image)
        assert clip.params(arch) == sum(leaf.size for leaf in jax.tree.leaves(shapes))
        assert published.get(name, clip.params(arch)) == clip.params(arch), name
    # 196 patches of 768 values; 12 layers: 12 d² a token and 2·197·d a token of attention
    layers = 12 * 197 * (12 * 768**2 + 2 * 197 * 768)
    assert clip.macs(clip.VARIANTS['ViT-B/16']) == 196 * 768 * 768 + layers


def test_a_random_tower_tells_images_apart():
    arch = clip.VARIANTS['tiny']
    variables = clip.random(arch, np.random.default_rng(0))
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 1)).astype(np.float32)
    states, pooled = jax.jit(clip.Tower(arch).apply, static_argnums=2)(variables, images, 2)
    assert all(0.1 < np.std(state[0] - state[1]) < 10 for state in (*states, pooled))


def test_bfloat16_is_near_float32(oracle, state):
    arch, variables = vision_tower(state, CONFIG['vision_config'])
    images = oracle['images'].transpose(0, 2, 3, 1)
    half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), variables)
    (_, last), _ = jax.jit(clip.Tower(arch, jnp.bfloat16).apply, static_argnums=2)(half, images, 1)
    assert last.dtype == jnp.bfloat16
    error = np.asarray(last, np.float32) - oracle['hidden_state_3']
    assert 1e-4 < np.abs(error).mean() / np.abs(oracle['hidden_state_3']).mean() < 3e-2


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(heads=5), 'width=768 cannot have 5 heads'),
        (dict(patch=15), 'image_size=224 is not a multiple of patch=15'),
        (dict(heads=0), 'CLIP tower.heads=0 must be'),
        (dict(layers=0), 'CLIP tower.layers=0 must be'),
    ],
)
def test_towers_that_cannot_be_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        clip.Architecture(**change)
