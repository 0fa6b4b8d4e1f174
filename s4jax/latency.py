"""The latency of an architecture on this device: the sum over its blocks and the rest of it.

Every block that is asked for is measured once, by itself, and kept in a table, so that a space of
thousands of architectures takes some dozens of measurements. Two architectures share a block where
the sizes that it sees are the same.
"""

import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import Lines, read_lines
from s4jax.settings import Int, Section

TABLE = 'latency.jsonl'
ONE, MORE = 1, 3  # blocks in the two programs whose difference is measured
SAMPLES, LEAST = 15, 0.004  # of a measurement, and seconds that each takes at least
REST = 'rest'


class LatencySettings(Section):
    """What `budget.latency_ms` limits: the time of one batch on this device."""

    batch: Int = Field(1, ge=1, le=100_000, description='images in the batch whose time counts')
    dtype: Literal['float32', 'bfloat16'] | None = Field(
        None, description='what the model computes in; None: as config.dtype'
    )


def parts(sizes: Any, period: int = 1) -> Iterator[str]:
    """What a model is made of: a key for each of its blocks in order, and one for the rest.

    `sizes` are a family's (see `elastic`); blocks of equal sizes differ by their place modulo
    `period`, as the shifted blocks of a Swin do.
    """
    shared = {n: size for n, size in zip(sizes._fields, sizes) if isinstance(size, int)}
    stages = getattr(sizes, 'stages', (sizes,))
    for s, stage in enumerate(stages):
        per_block = [(n, size) for n, size in zip(stage._fields, stage) if isinstance(size, tuple)]
        for i in range(stage.depth):
            here = shared | {name: values[i] for name, values in per_block}
            yield _key(f'block {s + 1}' + f'.{i % period}' * (period > 1), here)
    yield _key(REST, shared)


def _key(name: str, sizes: Mapping[str, int]) -> str:
    return ' '.join([name, *(f'{n}={size}' for n, size in sizes.items() if n != 'depth')])


class Latency:
    """`latency(arch)`: milliseconds of a batch, as the sum of a table that fills as it is asked.

    `example(arch)` gives the inputs of `Model(arch)` for one image, or their shapes. The first host
    measures, all others get its numbers. What is measured before `keep` is written by it.
    """

    def __init__(
        self,
        family: Any,
        example: Callable[[Any], Any],
        settings: LatencySettings,
        dtype: str,
        say: Callable[[str], None] = lambda text: None,
    ):
        if not hasattr(family, 'Block'):
            raise UsageError(
                f'config.budget.latency_ms: the family {family.__name__} names no Block to measure '
                '(see s4jax.models): write None'
            )
        self.family, self.example, self.batch, self.say = family, example, settings.batch, say
        self.dtype = jnp.dtype(settings.dtype or dtype)
        self.known: dict[str, int] = {}  # nanoseconds
        self._file: Lines | None = None

    def read(self, path: pathlib.Path) -> None:
        """Takes the numbers of a table that is there."""
        self.known |= {row['part']: row['ns'] for row in read_lines(path)}

    def keep(self, path: pathlib.Path) -> None:
        """Writes the table, and from now on every new number, to a file of lines."""
        file = Lines(path)
        written = {row['part'] for row in file.rows}
        file.append(*({'part': k, 'ns': n} for k, n in self.known.items() if k not in written))
        self._file = file

    def __call__(self, arch: Any) -> float:
        keys = list(parts(self.family.sizes_of(arch), getattr(self.family, 'PERIOD', 1)))
        missing = dict.fromkeys(key for key in keys if key not in self.known)
        if missing:
            self._measure(arch, keys, missing)
        return sum(self.known[key] for key in keys) / 1e6

    @property
    def facts(self) -> dict[str, Any]:
        """What was measured: the device, the images of a batch, what is computed in."""
        device = jax.local_devices()[0].device_kind
        return {'device': device, 'batch': self.batch, 'dtype': str(self.dtype)}

    def whole(self, arch: Any) -> float:
        """Milliseconds of a batch of the model measured as a whole."""
        model, variables, inputs = self._model(arch)
        run = functools.partial(self._apply, model, arch)
        given = filled(apart(variables)), filled(inputs)
        return self._agreed(lambda: fastest((run, given))[0]) / 1e6

    def _measure(self, arch: Any, keys: list[str], missing: Iterable[str]) -> None:
        if not self.known:
            device = jax.local_devices()[0].device_kind
            self.say(f'measuring the latency of blocks on {device}, batch {self.batch}')
        calls = self._calls(arch)
        for key in missing:
            if key.startswith(REST):
                measure = functools.partial(self._rest, arch)
            else:
                measure = functools.partial(block_time, *calls[keys.index(key)])
            self.known[key] = self._agreed(measure)
            if self._file:
                self._file.append({'part': key, 'ns': self.known[key]})

    @staticmethod
    def _agreed(measure: Callable[[], float]) -> int:
        """What the first host measures, in whole nanoseconds."""
        return int(meshes.largest(measure() if meshes.is_first_host() else 0.0))

    def _model(self, arch: Any) -> tuple[Any, Any, Any]:
        """(model, variables, inputs) of an architecture; of both, the shapes."""
        model = self.family.Model(arch, self.dtype)
        one = self.example(arch)
        shapes = jax.eval_shape(model.init, jax.random.key(0), one)
        many = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.batch, *x.shape[1:]), x.dtype), one
        )
        return model, shapes, many

    def _apply(self, model: Any, arch: Any, variables: Any, inputs: Any) -> Any:
        return model.apply(variables, inputs, elastic.fixed(self.family.sizes_of(arch)))

    def _rest(self, arch: Any) -> float:
        """Nanoseconds of a model whose blocks return what they are given."""
        model, variables, inputs = self._model(arch)
        given = filled(apart(variables, lambda block: {})), filled(inputs)

        def run(variables: Any, inputs: Any) -> Any:
            with nn.intercept_methods(self._skipping(lambda *_: None)):
                return self._apply(model, arch, variables, inputs)

        return fastest((run, given))[0]

    def _calls(self, arch: Any) -> list[tuple[Any, tuple[Any, ...]]]:
        """Every block of a model with the arguments that it is called with: shapes and sizes."""
        model, variables, inputs = self._model(arch)
        found: list[tuple[Any, tuple[Any, ...]]] = []

        def note(module: Any, arguments: tuple[Any, ...]) -> None:
            found.append((module.clone(parent=None), jax.tree.map(_shape, arguments)))

        with nn.intercept_methods(self._skipping(note)):
            jax.eval_shape(functools.partial(self._apply, model, arch), variables, inputs)
        return found

    def _skipping(self, note: Callable[[Any, tuple[Any, ...]], None]) -> Callable[..., Any]:
        """An interceptor for which blocks return their first argument, and are noted."""

        def intercept(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
            if not isinstance(context.module, self.family.Block):
                return call(*arguments, **keywords)
            note(context.module, arguments)
            return arguments[0]

        return intercept


def _shape(leaf: Any) -> Any:
    """The shape of what is traced; a size stays what it is."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf


def filled(tree: Any) -> Any:
    """Arrays of small positive numbers in the shapes of a tree; what is no shape stays."""
    rng = np.random.default_rng(0)

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return jax.device_put(rng.uniform(0.01, 0.03, leaf.shape).astype(leaf.dtype))

    return jax.tree.map(fill, tree)


def apart(tree: Any, each: Callable[[Any], Any] = lambda block: block) -> Any:
    """Shapes of variables whose stacks of blocks are lists, `each(block)` in place of a block."""
    if not isinstance(tree, dict):
        return tree
    rest = {name: apart(leaf, each) for name, leaf in tree.items() if name != 'blocks'}
    if 'blocks' in tree:
        rest['blocks'] = [each(block) for block in _split(tree['blocks'])]
    return rest


def _split(blocks: Any) -> list[Any]:
    """The shapes of a stack's blocks."""
    if isinstance(blocks, list):
        return blocks
    depth = jax.tree.leaves(blocks)[0].shape[0]
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), blocks)
    return [one] * depth


def block_time(block: Any, arguments: tuple[Any, ...]) -> float:
    """Nanoseconds that one more block adds to a chain of blocks, each with weights of its own.

    `arguments` are those of the block: shapes of arrays, and sizes. It returns what can be its
    first argument.
    """
    leaves, tree = jax.tree.flatten(arguments)
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, jax.ShapeDtypeStruct)]

    def given(arrays: Any) -> Any:
        """The arguments, with arrays in the places of their shapes."""
        filled_in = dict(zip(places, arrays))
        return jax.tree.unflatten(tree, [filled_in.get(k, leaf) for k, leaf in enumerate(leaves)])

    def chain(variables: Any, arrays: Any) -> Any:
        x, *others = given(arrays)
        for each in variables:
            x = block.apply(each, x, *others)
        return x

    arrays = [leaves[k] for k in places]
    shapes = jax.eval_shape(lambda a: block.init(jax.random.key(0), *given(a)), arrays)
    values = filled(arrays)
    one, more = fastest(
        *((chain, ([filled(shapes) for _ in range(n)], values)) for n in (ONE, MORE))
    )
    return max(1.0, (more - one) / (MORE - ONE))


def fastest(*programs: tuple[Callable[..., Any], tuple[Any, ...]]) -> list[float]:
    """Nanoseconds of a call of each function with its arguments, the least of the samples.

    They are compiled first, and take turns, so that what slows the machine down slows all of them.
    """
    compiled = [jax.jit(run) for run, _ in programs]

    def seconds(k: int, times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            jax.block_until_ready(compiled[k](*programs[k][1]))
        return (time.perf_counter() - began) / times

    for k in range(len(compiled)):
        seconds(k, 2)  # the first compiles
    with one_core():
        times = [max(1, int(LEAST / seconds(k, 2))) for k in range(len(compiled))]
        samples = [[seconds(k, n) for k, n in enumerate(times)] for _ in range(SAMPLES)]
    return [1e9 * min(each) for each in zip(*samples)]


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """On a CPU, all threads of this process on one core, where the system can do that.

    Threads that hand over to each other take longer or less from program to program, whatever its
    sizes: then no sum of parts is the whole.
    """
    if jax.default_backend() != 'cpu' or not hasattr(os, 'sched_setaffinity'):
        yield
        return
    before = {}
    for thread in map(int, os.listdir('/proc/self/task')):
        with contextlib.suppress(OSError):  # it has ended
            before[thread] = os.sched_getaffinity(thread)
            os.sched_setaffinity(thread, {min(before[thread])})
    try:
        yield
    finally:
        for thread, cores in before.items():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, cores)
