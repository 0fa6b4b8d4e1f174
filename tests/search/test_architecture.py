"""Architectures: their JSON, their checks, and what Eq. 3 counts."""

import dataclasses
import itertools
import json
import math
from typing import Annotated

import numpy as np
import pydantic
import pytest

from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.search.architecture import Architecture
from s4jax.search.space import Dimension, SearchSpace
from s4jax.settings import Float, Int

SEGMENTS = SearchSpace(
    (
        Dimension('embed_dim', 16, 32, 8),
        Dimension('depth_1', 1, 3, 1),
        Dimension('depth_2', 2, 4, 2),
        Dimension('num_heads_1', 2, 4, 1, per_block=True),
        Dimension('num_heads_2', 10, 16, 2, per_block=True),
        Dimension('mlp_ratio', 2, 4, 0.5, per_block=True),
    ),
    ((1, 'depth_1'), (1, 'depth_2')),
)


def test_architectures_come_back_from_their_json():
    rng = np.random.default_rng(5)
    space = SearchSpace(SEGMENTS.dimensions, vit.stages(SEGMENTS.names))
    for _ in range(20):
        arch = vit.architecture(space.sample(rng), image_size=32, patch=8, classes=7)
        row = json.loads(json.dumps(arch.to_json() | {'family': 'vit', 'params': 1}))
        again = vit.Architecture.from_json(row)
        assert again == arch and hash(again) == hash(arch)
    with pytest.raises(UsageError, match='embed is unknown; did you mean embed_dim'):
        row = {'embed' if k == 'embed_dim' else k: v for k, v in arch.to_json().items()}
        vit.Architecture.from_json(row)
    with pytest.raises(UsageError, match='embed_dim is missing; an architecture of this'):
        vit.Architecture.from_json({k: v for k, v in arch.to_json().items() if k != 'embed_dim'})


def test_eq_3_overcounts_the_real_model():
    """By exactly 572d + 4·depth·d, wherever the hidden width is whole (DESIGN.md, section 4)."""
    rng = np.random.default_rng(6)
    for _ in range(50):
        depth, heads, d, ratio, classes = (int(rng.integers(1, n)) for n in (20, 15, 800, 9, 1000))
        arch = vit.architecture(
            {'embed_dim': 2 * d, 'num_heads': (heads,) * depth, 'mlp_ratio': (ratio / 2,) * depth},
            image_size=224,
            classes=classes,
        )
        over = vit.paper_params(depth, ratio / 2, heads, 2 * d, classes) - vit.params(arch)
        assert over == 572 * 2 * d + 4 * depth * 2 * d


def test_vit_segments():
    names = (
        'embed_dim',
        'depth_1',
        'num_heads_1',
        'mlp_ratio_1',
        'depth_2',
        'num_heads_2',
        'mlp_ratio_2',
    )
    assert vit.stages(names) == ((1, 'depth_1'), (1, 'depth_2'))
    assert vit.stages(('embed_dim', 'depth', 'num_heads', 'mlp_ratio')) == ((1, 'depth'),)
    arch = vit.architecture(
        {
            'embed_dim': 64,
            'depth_1': 1,
            'depth_2': 2,
            'num_heads_1': (1,),
            'num_heads_2': (2, 3),
            'mlp_ratio_1': (4,),
            'mlp_ratio_2': (5, 6),
        },
        image_size=32,
        classes=2,
    )
    assert (arch.depth, arch.num_heads, arch.mlp_ratio) == (3, (1, 2, 3), (4, 5, 6))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes(Architecture):
    """A family's own sizes."""

    depths: Annotated[
        tuple[Annotated[Int, pydantic.Field(ge=1, le=9)], ...],
        pydantic.Field(description='blocks of each stage'),
    ]
    ratio: Annotated[Float, pydantic.Field(gt=0, le=8, description='hidden width over width')] = 4


def test_sizes_are_set_as_their_types():
    given = Sizes(image_size=224.0, classes=np.int64(10), depths=[2, 2.0, '3'], ratio=2)
    assert dataclasses.astuple(given) == (224, 3, 10, (2, 2, 3), 2.0)
    assert list(map(type, (given.image_size, given.classes, given.ratio))) == [int, int, float]
    assert given == Sizes(image_size=224, channels=3, classes=10, depths=(2, 2, 3), ratio=2.0)
    row = given.to_json()
    assert json.dumps(row) == (
        '{"image_size": 224, "channels": 3, "classes": 10, "depths": [2, 2, 3], "ratio": 2}'
    )
    assert Sizes.from_json(row) == given and hash(Sizes.from_json(row)) == hash(given)


@pytest.mark.parametrize(
    'name, value',
    [
        *itertools.product(
            ('image_size', 'channels', 'classes'),
            (0, -1, 1.5, True, math.nan, math.inf, 10**7, 10**400, None, 'many', '', [1], {}),
        ),
        *itertools.product(
            ('depths',), (3, [[1]], [1.5], [0], [-1], [True], [math.nan], [math.inf], 'x', {'a': 1})
        ),
        *itertools.product(('ratio',), (0, -1, 9, math.nan, math.inf, True, [2], None, 'wide', {})),
    ],
)
def test_wrong_sizes_are_refused_in_a_line(name, value):
    row = {'image_size': 8, 'classes': 2, 'depths': (1,), 'ratio': 1} | {name: value}
    for make in (lambda: Sizes(**row), lambda: Sizes.from_json(row)):
        with pytest.raises(UsageError, match=rf'^architecture\.{name}=.* must be [^\n]*$'):
            make()


@pytest.mark.parametrize('row', [[], [1], 3, None, 'vit', math.inf])
def test_json_that_is_no_object_is_refused(row):
    with pytest.raises(UsageError, match='^architecture=.* must be an object of names and sizes$'):
        Sizes.from_json(row)
