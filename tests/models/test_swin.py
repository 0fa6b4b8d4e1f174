"""Swin alone: published sizes, what cannot be, windows and their shift."""

import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.models import swin


@pytest.mark.parametrize(
    'name, params',
    [
        # of the published code; the larger two as timm counts its own
        ('swin_t', 28_288_354),
        ('swin_s', 49_606_258),
        ('swin_b', 87_768_224),
    ],
)
def test_stock_sizes(name, params):
    arch = swin.Architecture(image_size=224, classes=1000, **swin.STOCK[name])
    assert swin.params(arch) == params


@pytest.mark.parametrize(
    'change, words',
    [
        (
            dict(image_size=32),
            'image_size=32 does not go into patches of 4.* sizes that do: 224, 448, 672, 896, …',
        ),
        (dict(image_size=225), 'image_size=225 does not go .*sizes that do: 224'),
        (dict(patch=4096, window=1024), 'does not go into patches of 4096.*no size does'),
        (dict(embed_dim=82), 'makes a stage 82 wide, which num_heads=3 does not divide'),
        (dict(num_heads=(3, 6, 12)), 'need 4 values of num_heads, not 3'),
        (dict(mlp_ratio=(4.0,) * 11), 'need 12 values of mlp_ratio, not 11'),
    ],
)
def test_architectures_that_cannot_be_are_refused(change, words):
    sizes = dict(image_size=224, classes=10) | swin.STOCK['swin_t']
    swin.Architecture(**sizes)
    with pytest.raises(UsageError, match=words):
        swin.Architecture(**sizes | change)


def test_maps_and_windows():
    arch = swin.Architecture(image_size=224, classes=10, **swin.STOCK['swin_t'])
    assert (arch.maps, arch.windows) == ((56, 28, 14, 7), (7, 7, 7, 7))
    small = swin.Architecture(image_size=96, classes=10, **swin.STOCK['swin_t'] | dict(window=12))
    assert (small.maps, small.windows) == ((24, 12, 6, 3), (12, 12, 6, 3))
    np.testing.assert_array_equal(small.widths, [96, 192, 384, 768])
