"""A StableHLO program by `jax.export`: for CPU, CUDA and TPU, for a batch of any size."""

import pathlib

import jax

from s4jax.exporting.program import Program, Runner, Written, on_cpu
from s4jax.runtime.files import write_bytes

PLATFORMS = ('cpu', 'cuda', 'tpu')
NAME = 'model.stablehlo'


def write(program: Program, directory: pathlib.Path) -> list[Written]:
    """Writes the program; returns how it runs."""
    function = jax.jit(program.function())
    exported = jax.export.export(function, platforms=PLATFORMS)(program.symbolic())
    write_bytes(directory / NAME, bytes(exported.serialize()))
    return [Written('jax.export', directory / NAME, read(directory / NAME))]


def read(path: pathlib.Path) -> Runner:
    """A written program, on the CPU."""
    return on_cpu(jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call))
