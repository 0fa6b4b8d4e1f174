"""AutoFormer's state dicts that do not fit are refused; test_vit compares the logits."""

import pytest
from published import state

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
