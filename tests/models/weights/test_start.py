"""Supernets that start from published files: the published logits, and what is not in the file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from published import autoformer_subnets, hierarchical, state

from s4jax.errors import UsageError
from s4jax.models import FAMILIES
from s4jax.models.weights import start, swin


def written(folder, arrays):
    path = folder / 'published.safetensors'
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(kept, path)
    return str(path)


def begun(family, path, arch):
    """(model, fresh variables, variables that start from the file); ones stand for fresh ones."""
    model = FAMILIES[family].Model(arch)
    example = np.zeros((1, arch.image_size, arch.image_size, arch.channels), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), example)
    fresh = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    return model, fresh, fresh | start.starting(family, path, arch, fresh)


def logits(model, variables, images):
    with jax.default_matmul_precision('highest'):
        return jax.jit(model.apply)(variables, jnp.asarray(images, jnp.float32))


def test_every_subnet_of_autoformer_starts_with_its_published_logits(autoformer, tmp_path):
    path = written(tmp_path, state(autoformer, 'param:'))
    images = autoformer['images'].transpose(0, 2, 3, 1)
    for i, _, arch in autoformer_subnets(autoformer):
        model, _, variables = begun('vit', path, arch)
        found = logits(model, variables, images)
        np.testing.assert_allclose(found, autoformer[f'sub{i}/logits'], rtol=0, atol=2e-5)


@pytest.mark.parametrize('family', ['swin', 'timm', 'shunted'])
def test_hierarchical_models_start_with_their_published_logits(family, tmp_path):
    name = 'shunted' if family == 'shunted' else 'swin'
    arch, arrays, images, oracle = hierarchical(name)
    arrays = swin.timm_names(arrays) if family == 'timm' else arrays
    path = written(tmp_path, {f'module.{key}': array for key, array in arrays.items()})
    model, _, variables = begun(name, path, arch)
    found = logits(model, variables, images)
    np.testing.assert_allclose(found, oracle['logits'], rtol=0, atol=2e-5)


@pytest.mark.parametrize('family', ['swin', 'shunted'])
def test_a_larger_supernet_has_the_published_prefix_and_is_fresh_beyond(family, tmp_path):
    arch, arrays, _, _ = hierarchical(family)
    larger = dataclasses.replace(
        arch, classes=4, depths=tuple(d + 1 for d in arch.depths), embed_dim=2 * arch.embed_dim,
        mlp_ratio=(5.0,) * (sum(arch.depths) + len(arch.depths)),
    )  # fmt: skip
    path = written(tmp_path, arrays)
    _, small = start.published(family, path, arch)
    _, fresh, variables = begun(family, path, larger)
    norm, width = variables['params']['stage1']['blocks'], arch.embed_dim
    scale = np.asarray(norm['norm1']['scale'])  # (blocks, width)
    published = small['params']['stage1']['blocks']['norm1']['scale']
    np.testing.assert_array_equal(scale[: arch.depths[0], :width], published)
    assert np.all(scale[:, width:] == 1) and np.all(scale[arch.depths[0] :] == 1)
    for name in ('kernel', 'bias'):  # another number of classes: a fresh head
        np.testing.assert_array_equal(
            variables['params']['head'][name], fresh['params']['head'][name]
        )


def test_positions_for_another_image_size(autoformer, tmp_path):
    """Absolute positions are resized over the grid, the class token's own is kept."""
    arrays = state(autoformer, 'param:')
    *_, (_, _, arch) = autoformer_subnets(autoformer)
    arch = dataclasses.replace(arch, image_size=48)
    ramp = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 4, 128)).reshape(16, 128)
    arrays['pos_embed'] = np.concatenate([np.full((1, 128), 9.0), ramp])[None].astype(np.float32)
    _, _, variables = begun('vit', written(tmp_path, arrays), arch)
    found = np.asarray(variables['params']['positions'])
    assert found.shape == (37, arch.embed_dim) and np.all(found[0] == 9)
    rows = found[1:, 0].reshape(6, 6)
    assert np.ptp(rows, axis=1).max() < 1e-6  # along a row nothing changes
    # the first and last column of PyTorch's bicubic matrix from 4 to 6 entries, on 0, 1, 2, 3
    np.testing.assert_allclose(rows[:, 0] + rows[::-1, 0], 3, atol=1e-5)
    assert np.all(np.diff(rows[:, 0]) > 0)


def test_what_no_supernet_can_start_from(autoformer, tmp_path):
    path = written(tmp_path, state(autoformer, 'param:'))
    arch, _, _, _ = hierarchical('swin')
    with pytest.raises(UsageError, match='published.safetensors does not suit .wanted: Microsoft'):
        start.published('swin', path, arch)
    with pytest.raises(UsageError, match="nobody published weights of family='clip'"):
        start.published('clip', path, None)
    with pytest.raises(UsageError, match='weights=nowhere.safetensors is no file'):
        start.read('nowhere.safetensors')
