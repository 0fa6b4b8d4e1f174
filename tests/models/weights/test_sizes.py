"""The architectures of published models, read off their state dicts."""

import dataclasses

import numpy as np
import pytest
from published import autoformer_subnets, hierarchical, state

from s4jax.errors import UsageError
from s4jax.models.weights.sizes import SIZES


def test_the_largest_subnet_within_another(autoformer):
    published = state(autoformer, 'param:')
    for _, _, arch in autoformer_subnets(autoformer):
        found = SIZES['vit'](published, arch)
        assert found.hidden == arch.hidden
        assert dataclasses.replace(found, mlp_ratio=arch.mlp_ratio) == arch
    most = dataclasses.replace(
        arch, embed_dim=500, depth=9, num_heads=(9,) * 9, mlp_ratio=(9.0,) * 9
    )
    found = SIZES['vit'](published, most)
    assert (found.embed_dim, found.depth, found.num_heads) == (128, 2, (2, 2))
    assert found.hidden == (512, 512)


@pytest.mark.parametrize('family', ['swin', 'shunted'])
def test_hierarchical_models(family):
    arch, published, _, _ = hierarchical(family)
    smaller = dataclasses.replace(
        arch, embed_dim=arch.embed_dim // 2, depths=(1,) * len(arch.depths),
        mlp_ratio=(1.0,) * len(arch.depths),
    )  # fmt: skip
    found = SIZES[family](published, smaller)
    assert found.hidden == arch.hidden
    assert dataclasses.replace(found, mlp_ratio=arch.mlp_ratio) == arch


@pytest.mark.parametrize(
    'family, field, value, words',
    [
        ('swin', 'patch', 2, 'it has patch=4, not 2: write --config.model.patch=4'),
        ('swin', 'num_heads', (1, 2, 2), 'write --config.model.num_heads=2,4,8'),
        ('shunted', 'num_conv', 5, 'it has num_conv=1, not 5'),
    ],
)
def test_sizes_that_no_subnet_changes(family, field, value, words):
    arch, published, _, _ = hierarchical(family)
    if field == 'num_heads':
        value = tuple(heads // 2 for heads in arch.num_heads)
        words = f'write --config.model.num_heads={",".join(map(str, arch.num_heads))}'
    with pytest.raises(UsageError, match=words):
        SIZES[family](published, dataclasses.replace(arch, **{field: value}))


def test_files_of_something_else(autoformer):
    arch, _, _, _ = hierarchical('swin')
    with pytest.raises(UsageError, match="it has no 'patch_embed.proj.weight' .it has pos_embed"):
        SIZES['swin'](state(autoformer, 'param:'), arch)
    with pytest.raises(UsageError, match='it has nothing|has no'):
        SIZES['swin']({}, arch)
    with pytest.raises(UsageError, match='is no convolution'):
        SIZES['swin']({'patch_embed.proj.weight': np.zeros(3)}, arch)
