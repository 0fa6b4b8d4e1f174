"""AutoFormer's state dicts that do not fit are refused; test_vit compares the logits."""

import jax
import numpy as np
import pytest
from published import autoformer_subnets, state

from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.models.weights import autoformer as importer


def test_state_dicts_that_do_not_fit_are_refused(autoformer):
    published = state(autoformer, 'param:')
    row = dict(image_size=32, patch=8, classes=7, embed_dim=64, depth=2)
    row |= dict(num_heads=(1, 1), mlp_ratio=(4.0, 4.0))
    arch = vit.Architecture(**row)
    lacking = {name: array for name, array in published.items() if name != 'cls_token'}
    with pytest.raises(UsageError, match="no 'cls_token'"):
        importer.variables(lacking, arch)
    with pytest.raises(UsageError, match='the architecture needs'):
        importer.variables(published, vit.Architecture(**row | {'embed_dim': 256}))


def test_exported_subnets_are_the_published_entries(autoformer):
    """The prefix of every published array that the subnet takes, and zero beyond a block's own."""
    published = state(autoformer, 'param:')
    for _, _, arch in autoformer_subnets(autoformer):
        variables = importer.variables(published, arch)
        found = importer.state_dict(variables, arch)
        assert set(found) == set(published) - beyond(arch, published)
        for name, array in found.items():
            whole = published[name][tuple(map(slice, array.shape))]
            assert ((array == whole) | (array == 0)).all()
            d, heads = arch.embed_dim, max(arch.num_heads)
            if name.endswith('qkv.weight'):
                assert array.shape == (3 * 64 * heads, d)
            if name.endswith('fc1.weight'):
                assert array.shape == (max(arch.hidden), d)
        again = importer.variables(found, arch)
        jax.tree.map(np.testing.assert_array_equal, again, variables)
        entries = sum(np.count_nonzero(array) for array in found.values())
        assert entries == sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(variables))


def beyond(arch, names):
    """The names of the blocks that a subnet does not have."""
    blocks = tuple(f'blocks.{i}.' for i in range(arch.depth))
    return {name for name in names if name.startswith('blocks.') and not name.startswith(blocks)}


def test_the_whole_supernet_is_exported_as_published(autoformer):
    published = state(autoformer, 'param:')
    row = dict(image_size=32, patch=8, classes=7, embed_dim=128, depth=2)
    arch = vit.Architecture(**row, num_heads=(2, 2), mlp_ratio=(4.0, 4.0))
    found = importer.state_dict(importer.variables(published, arch), arch)
    assert set(found) == set(published)
    for name, array in published.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert importer.subnet(arch) == {
        'layer_num': 2, 'embed_dim': [128, 128], 'num_heads': [2, 2], 'mlp_ratio': [4.0, 4.0],
    }  # fmt: skip
