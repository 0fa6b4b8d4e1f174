"""Small programs of all families, compiled for four cores of a TPU v5e that is not there.

`make aot` runs it, in an environment with libtpu: there every process looks for a TPU first.
"""

import jax.numpy as jnp
import pytest
from small import SMALL

from benchmarks.compiled import Programs, slice_of
from benchmarks.hlo import Program
from benchmarks.supernet_step import Case
from s4jax.models import FAMILIES
from s4jax.search.space import SearchSpace

TOWER = dict(image_size=8, width=48)  # the decoder's tower is the one named tiny
AUGMENTED = 8  # the side of the images that are augmented; 0: they are not
CASES = [
    ('vit', 'masked', AUGMENTED),
    ('vit', 'sliced', AUGMENTED),
    ('vit', 'fixed', AUGMENTED),
    ('vit', 'initial', 0),
    *((name, 'scoring', 0) for name in SMALL),
    *((name, 'masked', AUGMENTED) for name in ('swin', 'shunted', 'clip')),
]


@pytest.fixture(scope='module')
def mesh():
    return slice_of('v5e:2x2')


@pytest.mark.parametrize('name, program, stored', CASES)
def test_it_compiles_and_exchanges_gradients_alone(name, program, stored, mesh):
    """Between devices go sums of gradients, of counts and of BatchNorm's statistics, and rows of
    images that mixup pairs: nothing is gathered."""
    facts, dimensions = SMALL[name]
    family = FAMILIES[name]
    space = SearchSpace(dimensions, family.stages(tuple(d.name for d in dimensions)))
    facts = facts | (TOWER if name == 'clip' else {})
    case = Case(family, space, facts, 8, jnp.dtype('bfloat16'))
    lowered = Programs(case, mesh, stored, 'tiny').lower(program, case.drawn(1)[0])
    compiled = Program(lowered.compile().as_text())
    kinds = {line.name.removesuffix('-start') for line in compiled.exchanges()}
    assert kinds <= {'all-reduce', 'collective-permute'}, kinds
    if program == 'scoring':
        assert sum(line.bytes for line in compiled.exchanges()) <= 64
    if program == 'initial':
        assert not compiled.exchanges()
    else:
        assert compiled.flops() > 0
