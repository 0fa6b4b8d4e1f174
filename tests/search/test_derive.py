"""The derived hand-made model: evenly scaled, on the grid, and the largest that fits."""

import itertools

import numpy as np
import pytest

from s4jax.models import clip, shunted, swin, vit
from s4jax.search import derive
from s4jax.search.budget import Budget
from s4jax.search.space import Dimension, SearchSpace

INPUTS = {
    'vit': (vit, dict(image_size=224, patch=16, head_dim=64, classes=100)),
    'swin': (swin, dict(image_size=224, num_heads=(3, 6, 12, 12), classes=100)),
    'shunted': (shunted, dict(image_size=224, classes=100)),
    'clip': (clip, dict(image_size=224, classes=100)),
}
HEADS = Dimension('num_heads', 2, 14, 2, per_block=True)
SPACES = {
    'vit': SearchSpace(
        (
            Dimension('embed_dim', 336, 384, 24),
            Dimension('depth', 12, 14, 1),
            HEADS,
            Dimension('mlp_ratio', 3.5, 4.0, 0.5, per_block=True),
        ),
        vit.stages(('depth',)),
    ),
    'swin': SearchSpace(
        (
            Dimension('embed_dim', 72, 96, 12),
            Dimension('depth', 4, 8, 2),
            Dimension('mlp_ratio', 3.0, 4.0, 0.5, per_block=True),
        ),
        swin.stages(('depth',)),
    ),
    'shunted': SearchSpace(
        (
            Dimension('embed_dim', 32, 64, 16),
            Dimension('depth', 3, 4, 1),
            Dimension('mlp_ratio', 6.0, 8.0, 1.0, per_block=True),
        ),
        shunted.stages(('depth',)),
    ),
    'clip': SearchSpace(
        (
            Dimension('embed_dim', 336, 384, 24, floor=24),
            Dimension('depth', 3, 4, 1, ceiling=12),
            HEADS,
            Dimension('mlp_ratio', 3.5, 4.0, 0.5, per_block=True),
        ),
        clip.stages(('depth',)),
    ),
}


def derived(name, limits, space=None):
    family, inputs = INPUTS[name]
    make = lambda choices: family.architecture(choices, **inputs)
    cost = lambda arch: {'params': family.params(arch), 'macs': family.macs(arch)}
    space, budget = space or SPACES[name], Budget(tuple(limits.items()))
    return derive.hand_made(space, family.stock(**inputs), budget, make, cost), make, cost, budget


@pytest.mark.parametrize('name', SPACES)
def test_without_a_budget_it_is_the_stock_shape(name):
    arch, *_ = derived(name, {})
    assert (arch.embed_dim, arch.mlp_ratio[0]) == {
        'vit': (384, 4),
        'swin': (96, 4),
        'shunted': (64, 8),
        'clip': (384, 4),
    }[name]
    if name in ('vit', 'clip'):
        assert (arch.depth, set(arch.num_heads)) == {'vit': (12, {6}), 'clip': (3, {12})}[name]
    else:
        assert arch.depths == {'swin': (2, 2, 6, 2), 'shunted': (2, 4, 12, 1)}[name]


@pytest.mark.parametrize('name', SPACES)
@pytest.mark.parametrize('limits', [{'params': 6e6}, {'params': 40e6, 'macs': 2e9}])
def test_it_is_the_largest_of_the_scaled_shapes_that_fits(name, limits):
    """Against all scales in a finer row, one by one, each judged by itself."""
    arch, make, cost, budget = derived(name, limits)
    family, inputs = INPUTS[name]
    scales = np.linspace(0.02, 3, 3001)
    rows = {
        repr(choices): make(choices)
        for choices in (
            derive.scaled(SPACES[name], family.stock(**inputs), scale) for scale in scales
        )
    }
    fitting = [one for one in rows.values() if budget.fits(cost(one))]
    best = max(fitting, key=lambda one: (cost(one)['params'], cost(one)['macs']))
    assert cost(arch) == cost(best) and budget.fits(cost(arch))
    assert len(rows) > len(fitting) > 1


def test_stages_with_depths_of_their_own_and_dimensions_of_one_choice():
    space = SearchSpace(
        (
            Dimension('embed_dim', 24, 48, 12),
            Dimension('depth_1', 2, 2, 1),
            Dimension('depth_2', 1, 2, 1),
            Dimension('depth_3', 1, 4, 1),
            Dimension('depth_4', 1, 2, 1),
            Dimension('mlp_ratio', 2.0, 2.0, 1.0, per_block=True),
        ),
        swin.stages(('depth_1', 'depth_2', 'depth_3', 'depth_4')),
    )
    arch, *_ = derived('swin', {'params': 28e6}, space)
    # Swin-T's shape by about 1.1, which leaves the first stage and the ratio as they are fixed
    assert arch.depths == (2, 2, 7, 2) and set(arch.mlp_ratio) == {2}
    assert arch.embed_dim % 12 == 0 and arch.embed_dim > 96


def test_a_budget_below_every_scaled_shape_shrinks_the_ratios_down_to_the_floors():
    fixed = (Dimension('embed_dim', 96, 96, 12), Dimension('depth', 2, 2, 1))
    ratio = Dimension('mlp_ratio', 2.0, 3.0, 0.5, per_block=True)
    space = SearchSpace((*fixed, ratio), swin.stages(('depth',)))
    sizes = [swin.params(derived('swin', {'params': limit}, space)[0]) for limit in (14e6, 1)]
    assert sizes[1] < sizes[0] <= 14e6
    lowest, *_ = derived('swin', {'params': 1}, space)
    assert set(lowest.mlp_ratio) == {0.5} and lowest.embed_dim == 96


def test_every_value_lies_on_the_grid_between_floor_and_ceiling():
    dimension = Dimension('embed_dim', 30, 50, 10, floor=20, ceiling=60)
    assert [dimension.nearest(v) for v in (-5, 24, 26, 44.9, 45, 61, 1e9)] == [
        *(20, 20, 30, 40, 50, 60, 60)
    ]
    assert Dimension('depth', 1, 3, 1).nearest(1e9) == 200
    for value in itertools.chain(np.linspace(0, 5, 50), [1e6]):
        assert Dimension('depth', 2, 2, 1).nearest(value) == 2
