"""Swin and Shunted alike: published logits and counts, counts of the model, whole heads."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published import hierarchical
from runs import ORACLES, command, run, values

from s4jax.errors import UsageError
from s4jax.models import FAMILIES, hierarchy
from s4jax.models.weights import shunted as shunted_importer
from s4jax.models.weights import swin as swin_importer
from s4jax.search.space import Dimension, SearchSpace

IMPORTERS = {'swin': swin_importer, 'shunted': shunted_importer}
FAMILY = pytest.mark.parametrize('name', IMPORTERS)


@FAMILY
@pytest.mark.parametrize('x64, tolerance', [(False, 2e-5), (True, 1e-9)])
def test_logits_of_the_published_models(name, x64, tolerance):
    arch, state, images, oracle = hierarchical(name)
    with jax.enable_x64(x64), jax.default_matmul_precision('highest'):
        dtype = jnp.float64 if x64 else jnp.float32
        variables = IMPORTERS[name].variables(state, arch)
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)
        apply = jax.jit(FAMILIES[name].Model(arch, dtype).apply)
        logits = apply(variables, jnp.asarray(images, dtype))
    expected = oracle['logits_float64' if x64 else 'logits']
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)


@FAMILY
def test_counts_of_published_models(name):
    family = FAMILIES[name]
    rows = json.loads((ORACLES / f'{name}_counts.json').read_text())
    assert len(rows) == 8
    for row in rows:
        arch = family.Architecture.from_json(row)
        assert (family.params(arch), family.macs(arch)) == (row['params'], row['macs'])


@FAMILY
def test_counts_are_those_of_the_model(name):
    rng, family = np.random.default_rng(0), FAMILIES[name]
    for stages in (1, 2, 3, 4):
        depths = tuple(map(int, rng.integers(1, 3, stages)))
        own = (
            dict(patch=2, window=4, num_heads=(1, 2, 4, 4)[:stages])
            if name == 'swin'
            else dict(
                num_heads=(2, 2, 4, 4)[:stages],
                sr_ratios=(4, 2, 1, 1)[:stages],
                num_conv=stages - 1,
                stem_width=int(rng.integers(3, 9)),
            )
        )
        arch = family.Architecture(
            image_size=16,
            channels=int(rng.integers(1, 4)),
            classes=int(rng.integers(2, 9)),
            depths=depths,
            embed_dim=4 * int(rng.integers(1, 4)),
            mlp_ratio=tuple(map(float, rng.choice([1, 2.3, 3], sum(depths)))),
            **own,
        )
        images = jnp.zeros((1, 16, 16, arch.channels))
        shapes = jax.eval_shape(family.Model(arch).init, jax.random.key(0), images)['params']
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == family.params(arch)


@FAMILY
def test_sizes_that_are_taken_are_those_that_the_model_can_run(name):
    """What is refused could not run: the model's own shapes are the judge."""
    family, stages = FAMILIES[name], dict(embed_dim=4, depths=(1, 1), mlp_ratio=(1.0, 1.0))
    own = (
        dict(patch=2, window=4, num_heads=(1, 1))
        if name == 'swin'
        else dict(num_heads=(2, 2), sr_ratios=(4, 2), stem_width=2)
    )
    taken = []
    for size in range(8, 20):
        try:
            arch = family.Architecture(image_size=size, classes=2, **stages, **own)
        except UsageError:
            continue
        taken.append(size)
        jax.eval_shape(family.Model(arch).init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
    assert taken == ([8, 16] if name == 'swin' else list(range(15, 20)))


@FAMILY
@pytest.mark.parametrize('variant', ['cifar100', 'smoke'])
def test_moves_keep_every_head_whole(name, variant):
    """Every value of every space within three moves makes an architecture, which checks heads."""
    config, family = values(f'configs/{name}.py:{variant}'), FAMILIES[name]
    dimensions = (Dimension(key, **kept) for key, kept in config['space'].items())
    space = SearchSpace(tuple(dimensions), family.stages(tuple(config['space'])))
    widths = set()
    for gamma in itertools.product(range(-3, 4), repeat=len(space.dimensions)):
        if space.obstacle(gamma) is not None:
            continue
        moved = space.moved(gamma)
        for dimension in moved.dimensions:
            for value in dimension.values:
                choices = moved.uniform('lower', {dimension.name: value})
                arch = family.architecture(choices, classes=10, **config['model'])
                pairs = zip(arch.widths, arch.num_heads)
                assert all(width % heads == 0 for width, heads in pairs)
                widths.add(arch.embed_dim)
    assert len(widths) > 4


def test_a_grid_that_would_break_heads_is_refused_at_the_start(tmp_path):
    grid = {'space.embed_dim.lower': 8, 'space.embed_dim.upper': 13, 'space.embed_dim.step': 5}
    changes = grid | {'model.num_heads': '(2,4,8)'}
    done = run(command(tmp_path / 'run', 'configs/swin.py:smoke', changes))
    assert done.returncode == 2, done.stderr
    words = 'embed_dim=13 makes a stage 13 wide, which num_heads=2 does not divide'
    assert words in done.stderr and not (tmp_path / 'run').exists()


def test_stages_and_their_depths():
    usual = ((2, None), (3, 'depth'))
    assert hierarchy.stages(('embed_dim', 'depth'), usual) == usual
    assert hierarchy.stages(('depth_2', 'depth_1'), usual) == ((1, 'depth_1'), (1, 'depth_2'))
    choices = dict(embed_dim=8, depth=2, mlp_ratio=(1,) * 8)
    assert hierarchy.fields(choices, usual)['depths'] == (2, 6)


def test_drop_path_is_linear_over_the_blocks_of_all_stages():
    key = jax.random.key(0)
    parts = hierarchy.drop_path(key, 0.5, (2, 3), 4000)
    kept = (np.concatenate(parts) > 0).mean(axis=(1, 2))
    assert [part.shape for part in parts] == [(2, 2, 4000), (3, 2, 4000)]
    np.testing.assert_allclose(kept, 1 - np.linspace(0, 0.5, 5), atol=0.02)
    assert list(hierarchy.drop_path(None, 0.5, (2, 3), 4)) == [None, None]
    assert list(hierarchy.drop_path(key, 0.0, (2, 3), 4)) == [None, None]
