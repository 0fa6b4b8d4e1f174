"""The Shunted Transformer alone: published sizes, what cannot be, halved ratios."""

import pytest

from s4jax.errors import UsageError
from s4jax.models import shunted


@pytest.mark.parametrize(
    'name, params',
    [  # of the published code
        ('shunted_t', 11_553_576),
        ('shunted_s', 22_401_256),
        ('shunted_b', 39_614_376),
    ],
)
def test_stock_sizes(name, params):
    arch = shunted.Architecture(image_size=224, classes=1000, **shunted.STOCK[name])
    assert shunted.params(arch) == params


@pytest.mark.parametrize(
    'change, words',
    [
        (
            dict(image_size=16),
            r'image_size=16 is too small for sr_ratios=\(8, 4, 2, 1\): at least 31',
        ),
        (dict(sr_ratios=(1024, 1024, 1024, 1024)), 'is too small for .*: write smaller ones'),
        (dict(embed_dim=37), 'makes a stage 37 wide, which num_heads=2 does not divide'),
        (dict(num_heads=(1, 2, 4, 8)), 'must be even'),
        (dict(sr_ratios=(8, 4, 2)), 'need 4 values of sr_ratios, not 3'),
        (dict(stem_width=0), 'stem_width=0 must be'),
        (dict(num_conv=-1), 'num_conv=-1 must be'),
    ],
)
def test_architectures_that_cannot_be_are_refused(change, words):
    sizes = dict(image_size=224, classes=10) | shunted.STOCK['shunted_t']
    shunted.Architecture(**sizes)
    with pytest.raises(UsageError, match=words):
        shunted.Architecture(**sizes | change)


def test_ratios_are_halved_in_the_last_two_stages():
    choices = dict(embed_dim=64, depth=1, mlp_ratio=(8, 8, 7, 6, 6, 7, 8))  # depths 2, 1, 3, 1
    facts = dict(image_size=224, classes=10)
    arch = shunted.architecture(choices, **facts)
    assert arch.depths == (2, 1, 3, 1) and arch.mlp_ratio == (8, 8, 7, 3.0, 3.0, 3.5, 4.0)
    literal = shunted.architecture(choices, halve_ratios=False, **facts)
    assert literal.mlp_ratio == choices['mlp_ratio']
