"""What ViT and the decoder share: sizes from choices, and how they are checked."""

import pytest

from s4jax.errors import UsageError
from s4jax.models import FAMILIES
from s4jax.models.plain import Sizes

CHOICES = dict(embed_dim=24, depth=2, num_heads=(1, 3), mlp_ratio=(2, 2.3))


@pytest.mark.parametrize('name, token_dim', [('vit', 24), ('clip', 48)])
def test_sizes_of_choices(name, token_dim):
    family = FAMILIES[name]
    facts = dict(image_size=8, patch=2, classes=3) | ({'width': 48} if name == 'clip' else {})
    arch = family.architecture(CHOICES, **facts)
    assert (arch.grid, arch.tokens, arch.token_dim) == (4, 17, token_dim)
    assert arch.hidden == (2 * token_dim, int(2.3 * token_dim))
    assert family.sizes_of(arch) == Sizes(24, 2, (1, 3), arch.hidden)
    with pytest.raises(UsageError, match='depth=2 needs as many num_heads and mlp_ratio, not 1'):
        family.Architecture(**arch.to_json() | {'num_heads': (1,)})
