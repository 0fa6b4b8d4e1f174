"""Compiles small programs for four cores of a TPU v5e that is not there; a line of JSON for each.

A process of its own, because libtpu reads its environment when it is loaded.
"""

import json
import sys
import time

import jax.numpy as jnp
from small import SMALL

from benchmarks.compiled import Programs, slice_of
from benchmarks.hlo import Program
from benchmarks.supernet_step import Case
from s4jax.models import FAMILIES
from s4jax.search.space import SearchSpace

TOWER = dict(image_size=8, width=48)  # the decoder's tower is the one named tiny


def case(name, batch=8):
    facts, dimensions = SMALL[name]
    family = FAMILIES[name]
    space = SearchSpace(dimensions, family.stages(tuple(d.name for d in dimensions)))
    facts = facts | (TOWER if name == 'clip' else {})
    return Case(family, space, facts, batch, jnp.dtype('bfloat16'))


def main():
    mesh = slice_of('v5e:2x2')
    for text in sys.argv[1:]:  # family:program:side of the images that are augmented
        name, program, stored = text.split(':')
        began, one = time.process_time(), case(name)
        programs = Programs(one, mesh, int(stored), 'tiny')
        lowered = programs.lower(program, one.drawn(1)[0])
        compiled = Program(lowered.compile().as_text())
        row = {
            'program': text,
            'exchanged': [(line.name, line.label, line.bytes) for line in compiled.exchanges()],
            'kernels': compiled.kernels(),
            'flops': compiled.flops(),
            'parameters': one.family.params(one.architecture(one.space.largest())),
            'seconds': time.process_time() - began,
        }
        print(json.dumps(row), flush=True)


if __name__ == '__main__':
    main()
