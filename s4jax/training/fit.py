"""One training from start, or from its newest checkpoint, to end."""

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from s4jax.errors import UsageError
from s4jax.runtime import mesh as meshes
from s4jax.runtime.checkpoints import Checkpoints, tree_digest
from s4jax.runtime.files import Lines
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.training.step import State


@dataclasses.dataclass(frozen=True)
class Trained:
    """The outcome of a fit: variables for `model.apply` and a digest of them."""

    variables: dict[str, Any]
    digest: str


def fit(
    state: State,
    step: Callable,
    sizes: Callable[[int, int], Any],
    batch: Callable[[int], Any],
    *,
    steps: int,
    checkpoints: Checkpoints,
    metrics_path: pathlib.Path,
    save_every: int,
    log_every: int,
    mesh: jax.sharding.Mesh,
    signals: Signals,
    describe: Callable[[int, int], str],
    report: Any,
    warn: Callable[[str], None],
    max_rollbacks: int = 3,
) -> Trained:
    """Folds `step` over `steps` batches from `state`, or from the newest sound checkpoint.

    `sizes(attempt, i)` are the sampled architecture's, `batch(i)` is this host's part of batch i. Every `log_every` steps
    the losses are fetched, looked at and written, one line a step; after a non-finite one the fold goes back to the last
    regular checkpoint and draws anew (`attempt` enters every key), at most `max_rollbacks` times. `describe(attempt, i)`
    names the architecture; `report.start(i)` and `report.reached(i, losses)` hear of progress.
    """
    start = jax.tree.map(
        np.array, state
    )  # a copy: the step donates its input, and a roll-back may need the start
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        meshes.replicate(mesh, start),
    )

    def load(at_most: int | None = None) -> State:
        found = checkpoints.latest(like, at_most)
        return found[1] if found else meshes.replicate(mesh, start)

    state = load()
    i, attempt, losses = int(state['step']), int(state['attempt']), []
    metrics = Lines(metrics_path, lambda row: row['step'] <= i)
    report.start(i)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        following = reader.submit(batch, i)
        while i < steps:
            inputs = meshes.shard(mesh, following.result())
            following = reader.submit(batch, i + 1)
            state, loss = step(state, sizes(attempt, i), inputs)
            losses.append(loss)
            i += 1
            saving = i % save_every == 0 or i == steps
            looking = saving or i % log_every == 0
            stopping = (
                meshes.any_host(signals.received is not None)
                if looking or meshes.one_host()
                else False
            )
            if not (looking or stopping):
                continue
            values = np.asarray(jax.device_get(losses), np.float64)
            first, losses = i - len(values), []
            if not np.all(np.isfinite(values)):
                bad = first + int(np.argmin(np.isfinite(values)))
                told = f'non-finite loss at step {bad} (batch {bad}, {describe(attempt, bad)})'
                if attempt == max_rollbacks:
                    raise UsageError(
                        f'{told}, again after {max_rollbacks} roll-backs: lower the learning rate'
                    )
                state = load(bad // save_every * save_every)
                attempt, i = attempt + 1, int(state['step'])
                state |= {'attempt': meshes.replicate(mesh, np.int32(attempt))}
                checkpoints.delete_after(i)
                metrics = Lines(metrics_path, lambda row: row['step'] <= i)
                following = reader.submit(batch, i)
                warn(f'{told}; back to step {i}')
                continue
            metrics.append(
                *(
                    {'step': k, 'loss': float(value), 'attempt': attempt}
                    for k, value in enumerate(values, start=first + 1)
                )
            )
            report.reached(i, values)
            if saving or stopping:
                checkpoints.save(i, state)
            if stopping and i < steps:
                raise Interrupted
    variables = {name: state[name] for name in ('params', 'batch_stats') if state[name]}
    return Trained(variables, tree_digest(variables))
