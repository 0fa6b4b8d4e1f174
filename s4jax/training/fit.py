"""One training from its start, or from its newest checkpoint, to its end."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from pydantic import Field

from s4jax.errors import UsageError
from s4jax.runtime import mesh as meshes
from s4jax.runtime.checkpoints import Checkpoints
from s4jax.runtime.files import Lines
from s4jax.runtime.mesh import Sharding
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Interrupted
from s4jax.settings import Int, Section
from s4jax.training.monitor import Monitor
from s4jax.training.step import State, Step

SIGNALS = 5.0  # seconds between two looks of several hosts at each other's signals


class CheckpointSettings(Section):
    """How often a training saves its state and writes its losses; it changes no result."""

    save_every: Int = Field(1000, ge=1, le=10_000_000, description='steps between two checkpoints')
    log_every: Int = Field(
        100, ge=1, le=10_000_000, description='steps between two looks at the losses'
    )


@dataclasses.dataclass(frozen=True)
class Steps:
    """The steps of one training: `count` of them, each `run(state, sizes, batch)`.

    `sizes(attempt, i)` are those of the architecture that step i trains, `batch(i)` is this host's
    part of its images, `describe(attempt, i)` names the architecture in an error, `sharding` says
    how the state lies on the devices.
    """

    count: int
    run: Step
    sizes: Callable[[int, int], Any]
    batch: Callable[[int], Any]
    describe: Callable[[int, int], str]
    sharding: Sharding = 'replicated'


def fit(
    state: State,
    steps: Steps,
    name: str,
    session: Session,
    settings: CheckpointSettings,
    monitor: Monitor,
    max_rollbacks: int = 3,
) -> dict[str, Any]:
    """The variables {params, batch_stats} after all steps, from `state` or the newest checkpoint.

    They are on every device. `state` holds host values.

    Every `log_every` steps the losses are fetched, checked and written, one line a step. After a
    non-finite one, training goes back to the last regular checkpoint and draws anew (`attempt` is
    part of every key), at most `max_rollbacks` times. Raises `Interrupted` after a signal, with
    the state saved.
    """
    checkpoints = Checkpoints(session.workdir / 'checkpoints' / name, session.progress.warn)
    load = _loader(checkpoints, session.mesh, state, steps.sharding)
    state = load(None)
    i, attempt = int(state['step']), int(state['attempt'])
    metrics = _metrics(session, name, i)
    losses: list[jax.Array] = []
    monitor.start(i)
    stops = _Stops(session, i)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        following = reader.submit(steps.batch, i)
        while i < steps.count:
            batch = meshes.shard(session.mesh, following.result())
            following = reader.submit(steps.batch, i + 1)
            state, loss = steps.run(state, steps.sizes(attempt, i), batch)
            losses.append(loss)
            i += 1
            saving = i % settings.save_every == 0 or i == steps.count
            looking = saving or i % settings.log_every == 0
            stopping = stops(i, looking)
            if not (looking or stopping):
                continue
            values, losses = np.asarray(jax.device_get(losses), np.float64), []
            checkpoints.check()
            bad = _first_non_finite(values, i)
            if bad is None:
                metrics.append(*_rows(values, i, attempt))
                monitor.advance(i, values)
                if saving or stopping:
                    checkpoints.save(i, state)
                if stopping and i < steps.count:
                    checkpoints.wait()
                    raise Interrupted
                continue
            reason = f'non-finite loss at step {bad} (batch {bad}, {steps.describe(attempt, bad)})'
            if attempt == max_rollbacks:
                raise UsageError(
                    f'{reason}, again after {max_rollbacks} roll-backs: lower the learning rate'
                )
            state = load(bad // settings.save_every * settings.save_every)
            attempt, i = attempt + 1, int(state['step'])
            state |= {'attempt': meshes.replicate(session.mesh, np.int32(attempt))}
            checkpoints.delete_after(i)
            metrics = _metrics(session, name, i)
            following = reader.submit(steps.batch, i)
            session.progress.warn(f'{reason}; back to step {i}')
    checkpoints.wait()
    variables = {part: state[part] for part in ('params', 'batch_stats') if state[part]}
    return variables if steps.sharding == 'replicated' else meshes.gather(session.mesh, variables)


def _loader(
    checkpoints: Checkpoints, mesh: jax.sharding.Mesh, start: State, how: Sharding
) -> Callable[[int | None], State]:
    """`load(at_most)`: the newest sound state of at most that step, else the initial one."""
    start = jax.tree.map(np.array, start)  # a copy: a step donates its input
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=meshes.sharding_of(mesh, leaf.shape, how)
        ),
        start,
    )

    def load(at_most: int | None) -> State:
        found = checkpoints.latest(like, at_most)
        return found[1] if found else meshes.place(mesh, start, how)

    return load


def _first_non_finite(losses: np.ndarray, last: int) -> int | None:
    """The first step with a NaN or infinite loss, of the steps that end before step `last`."""
    finite = np.isfinite(losses)
    return None if np.all(finite) else last - len(losses) + int(np.argmin(finite))


def _rows(losses: np.ndarray, last: int, attempt: int) -> Iterator[dict[str, Any]]:
    """A line of the metrics for every step up to `last`."""
    for step, loss in enumerate(losses, start=last - len(losses) + 1):
        yield {'step': step, 'loss': float(loss), 'attempt': attempt}


def _metrics(session: Session, name: str, step: int) -> Lines:
    """The file of losses, cut back to the restored step."""
    return Lines(session.workdir / 'metrics' / f'{name}.jsonl', lambda row: row['step'] <= step)


class _Stops:
    """Whether a signal ends the training after a step.

    One host looks after every step. Several have to agree, which takes a message: they do it at
    every look at the losses and about every 5 s in between, whatever a step takes.
    """

    def __init__(self, session: Session, step: int):
        self._session, self._step, self._since, self._every = session, step, time.monotonic(), 1

    def __call__(self, step: int, looking: bool) -> bool:
        if not (meshes.one_host() or looking or step % self._every == 0):
            return False
        if looking and not meshes.one_host():
            now = time.monotonic()
            pace = meshes.largest((now - self._since) / max(1, step - self._step))
            self._step, self._since, self._every = step, now, max(1, int(SIGNALS / pace))
        return meshes.any_host(self._session.signals.received is not None)
