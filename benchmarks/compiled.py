"""What a step costs on TPUs or GPUs that are not there: XLA compiles for them, and says.

    JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 python -m benchmarks.compiled --topology=v5e:2x2 \\
        --family=vit --program=sliced --batch=128
    JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 python -m benchmarks.compiled \\
        --topology=h100:8 --family=vit --program=masked --batch=1024

It needs libtpu (`pip install -e '.[aot]'`), or for GPUs JAX's CUDA plugin (`.[cuda]`). The programs
are of Table 1's spaces in bfloat16: masked, sliced (steps of a supernet), fixed (of one
architecture), scoring (several masked subnets at once), initial (the state). `--stored=32` adds the
paper's augmentation of images of that side. For a TPU, time is the sum of XLA's estimated cycles
without overlap, so an upper bound; kernels have none. For a GPU there are the bytes that operations
read and write, an upper bound too: caches keep some. Nothing is autotuned.
"""

import argparse
import collections
import dataclasses
import functools
import json
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks.hlo import Operation, Program
from benchmarks.supernet_step import SPACES, Case
from s4jax import elastic
from s4jax.data import augment
from s4jax.models.clip.inputs import EncoderSettings, States
from s4jax.models.clip.tower import VARIANTS, Tower
from s4jax.models.inputs import Images
from s4jax.runtime import mesh as meshes
from s4jax.runtime import seeds
from s4jax.training import evaluate
from s4jax.training.recipe import Recipe
from s4jax.training.step import make_step, state_program

CHIPS = {  # FLOP/s in bfloat16, bytes/s of memory, Hz
    'v5e': (197e12, 819e9, 1.5e9),
    'v6e': (918e12, 1.64e12, 1.75e9),
    'v5p': (459e12, 2.77e12, 1.75e9),
    'h100': (989e12, 3.35e12, 1.98e9),
}
GPUS = {'h100': pathlib.Path(__file__).with_name('h100.txtpb')}  # what XLA must know of a GPU
PROGRAMS = ('masked', 'sliced', 'fixed', 'scoring', 'initial')
PARTS = {  # where the time goes, by what is in an operation's label; the first that fits
    'residuals': r'dynamic_update_index|dynamic_index_in_dim|dynamic_slice|dynamic_update_slice',
    'attention': 'attention',
    'mlp': '/mlp/|fc1|fc2',
    'norms': 'norm',
}


def slice_of(topology: str) -> Mesh:
    """The devices of a slice such as v5e:2x2, or of a host with GPUs such as h100:8, in a row."""
    chip, _, count = topology.partition(':')
    if chip in GPUS:
        found = topologies.get_topology_desc(
            platform='cuda',
            topology_name=chip,
            target_config=GPUS[chip].read_text(),
            topology=f'1x1x{count}',
        )
    else:
        found = topologies.get_topology_desc(platform='tpu', topology_name=topology)
    return Mesh(np.array(found.devices), (meshes.AXIS,), axis_types=(AxisType.Auto,))


@dataclasses.dataclass(frozen=True)
class Programs:
    """The programs of a case on a mesh: nothing is computed, shapes alone are passed.

    `stored` is the side of the images that the paper's augmentation reads, 0 for none of it;
    `variant` is the tower of a decoder.
    """

    case: Case
    mesh: Mesh
    stored: int = 32
    variant: str = 'ViT-B/16'

    @functools.cached_property
    def preprocess(self) -> augment.PreprocessSettings:
        channels = self.case.facts.get('channels', 3)
        return augment.PreprocessSettings(mean=(0.5,) * channels, std=(0.25,) * channels)

    @functools.cached_property
    def inputs(self) -> Images:
        size = self.case.facts['image_size']
        read = functools.partial(augment.eval_batch, image_size=size, preprocess=self.preprocess)
        if not hasattr(self.case.family, 'Inputs'):
            return Images(read)
        tower = Tower(VARIANTS[self.variant], self.case.dtype)
        shape = (1, size, size, self.case.facts.get('channels', 3))
        weights = jax.eval_shape(tower.init, jax.random.key(0), jnp.zeros(shape))
        settings = EncoderSettings(weights='random', variant=self.variant)
        return States(read, settings, tower, self._everywhere(weights), '')

    def lower(self, program: str, choices: dict) -> Any:
        """The lowered program that trains or scores `choices`."""
        arch = self.case.architecture(choices if program == 'fixed' else self.case.space.largest())
        model = self.case.family.Model(arch, self.case.dtype, drop_path=0.2)
        tx = self._recipe.optimizer(50_000, self.case.family.decays)
        create = state_program(model, self.inputs.example(arch), tx)
        key = jax.eval_shape(lambda: seeds.key(0))
        if program == 'initial':
            return create.lower(self._everywhere(key))
        state = self._everywhere(create.eval_shape(key))
        if program == 'scoring':
            return self._scoring(model, state)
        encode = lambda frozen, images: self.inputs.train(arch, frozen, images)
        step = make_step(model, tx, self._augment, seeds.key(0), self.mesh, encode)
        sizes_of = self.case.family.sizes_of
        sizes = (
            elastic.fixed(sizes_of(arch))
            if program == 'fixed'
            else self._everywhere(self.case.sizes(self.case.space, program, choices))
        )
        constants = (self._everywhere(step.constants[0]), self.inputs.variables)
        return step.function.lower(state, constants, sizes, self._batch())

    def _scoring(self, model: Any, state: Any, count: int = 4) -> Any:
        arch = model.arch
        read = functools.partial(self.inputs.evaluate, arch)
        batch = self._batch(stored=True)
        if isinstance(self.inputs, States):  # the decoder scores states that are kept
            read = lambda batch: batch['states']
            first, *_ = self.inputs.example(arch)
            one = self._split((self.case.batch, *first.shape[1:]), first.dtype)
            batch |= {'states': (one,) * (1 + arch.depth)}
        counter: Any = evaluate.make_counter(model, read, True, self.mesh)
        rng = np.random.default_rng(0)
        each = [
            self.case.sizes(self.case.space, 'masked', self.case.space.sample(rng))
            for _ in range(count)
        ]
        sizes = elastic.stacked(each)
        variables = {part: state[part] for part in ('params', 'batch_stats') if state[part]}
        return counter.lower(variables, self._everywhere(sizes), batch)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(
            epochs=300, batch_size=self.case.batch, lr=5e-4, min_lr=1e-5, weight_decay=0.05
        )

    def _augment(self, key: jax.Array, batch: Any) -> Any:
        classes, size = self.case.facts['classes'], self.case.facts['image_size']
        if not self.stored:
            return batch['images'], batch['targets']
        images, labels, settings = batch['images'], batch['labels'], augment.AugmentSettings()
        return augment.train_batch(
            key, images, labels, classes, size, settings, self.preprocess, self.mesh.size
        )

    def _batch(self, stored: bool = False) -> dict[str, Any]:
        size, count = self.case.facts['image_size'], self.case.batch
        channels = self.case.facts.get('channels', 3)
        side = self.stored or size
        batch = {
            'images': self._split((count, side, side, channels), np.uint8),
            'labels': self._split((count,), np.int32),
            'real': self._split((count,), np.bool_),
        }
        if not self.stored and not stored:
            batch['images'] = self._split((count, size, size, channels), np.float32)
            batch['targets'] = self._split((count, self.case.facts['classes']), np.float32)
        return batch

    def _split(self, shape: tuple[int, ...], dtype: Any) -> Any:
        sharding = NamedSharding(self.mesh, PartitionSpec(meshes.AXIS))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    def _everywhere(self, tree: Any) -> Any:
        where = meshes.replicated(self.mesh)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=where), tree
        )


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, seconds, seconds of CPU) of a call."""
    began, cpu = time.monotonic(), time.process_time()
    result = call()
    return result, time.monotonic() - began, time.process_time() - cpu


def part(line: Operation) -> str:
    """What an operation belongs to, forward or backward."""
    backward = ' backward' if 'transpose(jvp' in line.label else ''
    found = (name for name, text in PARTS.items() if re.search(text, line.label))
    return next(found, 'rest') + backward


def figures(compiled: Any, chip: str) -> dict[str, Any]:
    """What a compiled program costs on one device of a chip."""
    peak, bandwidth, clock = CHIPS[chip]
    program, memory = Program(compiled.as_text()), compiled.memory_analysis()
    parts: dict[str, float] = collections.Counter()
    for _, line in program.operations():
        parts[part(line)] += line.cycles / clock * 1e3
    exchanged: dict[str, float] = collections.Counter()
    for line in program.exchanges():
        exchanged[line.name.removesuffix('-start')] += line.bytes / 1e6
    timed = (
        {'milliseconds': round(program.cycles() / clock * 1e3, 2)}
        if chip not in GPUS
        else {'milliseconds of its bytes': round(program.moved() / bandwidth * 1e3, 2)}
    )
    return timed | {
        'at peak': round(program.flops() / peak * 1e3, 2),
        'moved GB': round(program.moved() / 1e9, 1),
        'parts': {name: round(value, 1) for name, value in parts.items() if value > 0.05},
        'kernels': program.kernels(),
        'temporary GB': round(memory.temp_size_in_bytes / 1e9, 2),
        'code MB': round(memory.generated_code_size_in_bytes / 1e6, 1),
        'exchanged MB': dict(exchanged),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--topology', default='v5e:2x2', help='such as v5e:2x2, v6e:2x4, h100:8')
    parser.add_argument('--family', default='vit', choices=SPACES)
    parser.add_argument('--program', default='sliced', choices=PROGRAMS)
    parser.add_argument('--batch', type=int, default=128, help='images, of all devices together')
    parser.add_argument('--stored', type=int, default=0, help='augment images of this side')
    parser.add_argument('--text', default='', metavar='FILE', help="where the program's text goes")
    options = parser.parse_args()
    chip = options.topology.partition(':')[0]
    case = Case.create(options.family, options.batch, jnp.dtype('bfloat16'))
    programs = Programs(case, slice_of(options.topology), options.stored)
    (equal,) = case.drawn(1)
    lowered, tracing, _ = timed(lambda: programs.lower(options.program, equal))
    # Triton's matmuls are chosen by trying them on the device
    given = {'xla_gpu_enable_triton_gemm': False} if chip in GPUS else None
    compiled, wall, cpu = timed(lambda: lowered.compile(given))
    if options.text:
        pathlib.Path(options.text).write_text(compiled.as_text())
    row = figures(compiled, chip)
    row |= {'tracing s': round(tracing, 1), 'compiling s': round(wall), 'of CPU s': round(cpu)}
    print(json.dumps(vars(options) | row, indent=1))


if __name__ == '__main__':
    main()
