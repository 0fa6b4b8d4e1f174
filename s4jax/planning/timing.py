"""A few really timed steps of what a run will do, and the memory that its programs need."""

import dataclasses
import functools
import itertools
import math
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import jax
import numpy as np

from s4jax import elastic
from s4jax.phases import fitting, searching
from s4jax.run import Task
from s4jax.runtime import mesh as meshes
from s4jax.runtime.checkpoints import Checkpoints
from s4jax.runtime.session import Session
from s4jax.search.space import SearchSpace
from s4jax.training.step import Compiled, initial_state
from s4jax.training.trained import Trained, Training

SECONDS, LEAST, MOST = 2.0, 3, 50  # of timing one kind of step; calls of it
CHUNK = 4  # steps between two looks at the clock
DRAWN = 200  # architectures that stand for all of a space


@dataclasses.dataclass(frozen=True)
class Timed:
    """What one kind of work takes: seconds an image, and seconds to compile its `programs`.

    `memory`: bytes on each device. A checkpoint takes `saving` seconds and `disk` bytes.
    """

    seconds: float
    compiling: float
    memory: int
    programs: int = 1
    saving: float = 0.0
    disk: int = 0


@dataclasses.dataclass(frozen=True)
class Timings:
    """Of a supernet's step by its execution, of scoring subnets, of training the hand-made model,
    and of training a winner, which is not known yet."""

    supernet: dict[str, Timed]
    subnets: Timed
    alone: Timed
    winner: Timed

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        supernet = {name: Timed(**timed) for name, timed in row['supernet'].items()}
        return cls(supernet, *(Timed(**row[name]) for name in ('subnets', 'alone', 'winner')))


def measure(
    task: Task, session: Session, space: SearchSpace, executions: Sequence[str] | None = None
) -> Timings:
    """Times the space's supernet, its subnets and the hand-made model on this device.

    executions: 'masked' and 'sliced', where both are to be compared; None: that of the config.
    """
    first = fitting.supernet_training(task, 'supernet_0', space)
    supernet = {
        execution: _training(
            *(task, session),
            fitting.supernet_training(_with(task, execution), 'supernet_0', space),
        )
        for execution in executions or (first.execution,)
    }
    alone = _training(task, session, fitting.alone_training(task, 'baseline', task.baseline))
    winner = dataclasses.replace(alone, seconds=alone.seconds * _share_of_winner(task, space))
    return Timings(supernet, _scoring(task, session, space, first), alone, winner)


def _share_of_winner(task: Task, space: SearchSpace) -> float:
    """What a winner is expected to compute, as a share of what the hand-made model does.

    Halfway from the space's median to that model: winners of both sizes were seen.
    """
    if not task.config.search.trains_supernets:
        return 1.0
    rng, macs = np.random.default_rng(0), task.family.macs
    drawn = [macs(task.architecture(space.sample(rng))) for _ in range(DRAWN)]
    return (1 + min(1.0, float(np.median(drawn)) / macs(task.baseline))) / 2


def _with(task: Task, execution: str) -> Task:
    supernet = task.config.supernet.model_copy(update={'execution': execution})
    config = task.config.model_copy(update={'supernet': supernet})
    return dataclasses.replace(task, config=config)


def _training(task: Task, session: Session, training: Training) -> Timed:
    """The steps of a training; those of a sliced supernet that one program can run."""
    began = time.monotonic()
    state, steps = fitting.steps_of(task, session, training, fitting.model_of(task, training))
    state = meshes.place(session.mesh, state, steps.sharding)
    batches = [meshes.shard(session.mesh, steps.batch(i)) for i in range(2)]
    drawn = [steps.sizes(0, i) for i in range(DRAWN if training.execution != 'fixed' else 1)]
    kinds: list[Any] = [jax.tree.structure(sizes) for sizes in drawn]
    own = [sizes for sizes, kind in zip(drawn, kinds) if kind == kinds[0]]
    assert isinstance(steps.run, Compiled)
    program = steps.run.compile(state, own[0], batches[0])
    compiling = time.monotonic() - began
    constants, following = steps.run.constants, itertools.cycle(zip(own, itertools.cycle(batches)))
    kept = [state]

    def chunk() -> None:
        for sizes, batch in itertools.islice(following, CHUNK):
            kept[0], loss = program(kept[0], constants, sizes, batch)
        jax.block_until_ready(loss)

    seconds = _median(chunk) / CHUNK / training.recipe.images_a_step
    saving, disk = _checkpoint(kept[0])
    programs = len(set(kinds))
    return Timed(seconds, compiling * programs, _memory(program), programs, saving, disk)


def _scoring(task: Task, session: Session, space: SearchSpace, training: Training) -> Timed:
    """Scoring subnets, as many at once as the config says."""
    began = time.monotonic()
    model, arch = fitting.model_of(task, training), training.arch
    example, key = task.inputs.example(arch), jax.random.key(0)
    tx = training.recipe.optimizer(len(training.split), task.family.decays)
    state = initial_state(model, example, tx, key)
    variables = {part: state[part] for part in ('params', 'batch_stats') if state[part]}
    trained = Trained(training.name, arch, model, '', lambda: variables)
    count: Any = searching.counter(task, session, trained)
    rng, chunk = np.random.default_rng(0), task.config.evaluate.architectures
    widest = task.family.sizes_of(arch)
    each = [
        elastic.masked(task.family.sizes_of(task.architecture(space.sample(rng))), widest)
        for _ in range(chunk)
    ]
    stacked = elastic.stacked(each)
    batch = next(iter(task.stored(task.data.search, session.mesh)))
    program = count.lower(variables, stacked, batch).compile()
    compiling = time.monotonic() - began
    once = functools.partial(program, variables, stacked, batch)
    images = min(len(task.data.search), len(batch['labels']))
    seconds = _median(lambda: jax.block_until_ready(once())) / chunk / images
    return Timed(seconds, compiling, _memory(program))


def _median(call: Callable[[], Any]) -> float:
    """The median seconds of a call, after one that is not counted."""
    call()
    found: list[float] = []
    while len(found) < LEAST or sum(found) < SECONDS and len(found) < MOST:
        began = time.monotonic()
        call()
        found.append(time.monotonic() - began)
    return statistics.median(found)


def _memory(program: Any) -> int:
    """The bytes that a program needs on each device, or 0 where that is not known."""
    needs = program.memory_analysis()
    if needs is None:
        return 0
    arguments = needs.argument_size_in_bytes + needs.output_size_in_bytes
    return int(arguments - needs.alias_size_in_bytes + needs.temp_size_in_bytes)


def _checkpoint(state: Any) -> tuple[float, int]:
    """(seconds, bytes) of a checkpoint, from one that is really written."""
    if not meshes.one_host():  # all hosts would have to write to one folder
        return 0.0, sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder) / 'checkpoint', lambda _: None)
        began = time.monotonic()
        checkpoints.save(1, state)
        checkpoints.wait()
        seconds = time.monotonic() - began
        files = [path for path in pathlib.Path(folder).rglob('*') if path.is_file()]
        return seconds, sum(path.stat().st_size for path in files)


def saves(steps: int, every: int) -> int:
    """How many checkpoints a training writes."""
    return math.ceil(steps / every)
