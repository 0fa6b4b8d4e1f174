"""Accuracy on held-out images: of one model, and of many subnets of a supernet at once."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import Lines
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.search.space import Architecture


def make_counter(model, inputs: Callable, many: bool, mesh: jax.sharding.Mesh) -> Callable:
    """The compiled `count(variables, sizes, batch) -> number of correct images`.

    `inputs(batch)` gives the model's inputs; `batch` holds labels, and `real`, 0 for the padding of the last batch. With `many`,
    `sizes` has a leading axis of architectures that are run at once, masked, over shared weights (`vmap`); the counts have it too.
    """

    def count(variables, sizes, batch):
        logits = model.apply(variables, inputs(batch), sizes)
        return jnp.sum((jnp.argmax(logits, -1) == batch['labels']) & batch['real'], dtype=jnp.int32)

    return jax.jit(
        jax.vmap(count, (None, 0, None)) if many else count, out_shardings=meshes.replicated(mesh)
    )


def watched(batches: Iterable[Any], signals: Signals) -> Iterator[Any]:
    """The batches, up to a signal."""
    for batch in batches:
        if meshes.any_host(signals.received is not None):
            raise Interrupted
        yield batch


def correct(count: Callable[[Any], Any], batches: Iterable[Any], signals: Signals) -> Any:
    """The sum of `count(batch)`, a tree of numbers of correct images, over all batches.

    Counts are whole numbers, so that their order cannot change a ranking.
    """
    total = None
    for batch in watched(batches, signals):
        counted = jax.tree.map(lambda leaf: np.asarray(leaf, np.int64), count(batch))
        total = counted if total is None else jax.tree.map(np.add, total, counted)
    return total


def make_score(
    count: Callable,
    load: Callable[[], Any],
    digest: str,
    sizes: Callable[[Architecture], Any],
    batches: Callable[[], Iterable[Any]],
    images: int,
    journal: Lines,
    chunk: int,
    signals: Signals,
    report: Callable[[int], None],
) -> Callable[[Sequence[Architecture]], np.ndarray]:
    """`score(architectures) -> accuracies` of a supernet's subnets, each evaluated once and written to the journal.

    The journal is keyed by the supernet's digest and the architecture. Architectures go in fixed chunks of `chunk`, the last
    one padded, so that one program serves all. `load()` gives the variables and `batches()` what is gone through for every
    chunk, when first needed.
    """
    scored = 0
    known = {
        (row['supernet'], json.dumps(row['architecture'])): row['correct'] for row in journal.rows
    }
    held = []

    def score(architectures: Sequence[Architecture]) -> np.ndarray:
        nonlocal scored
        keys = {arch: (digest, json.dumps(arch.to_json())) for arch in architectures}
        missing = [arch for arch, key in keys.items() if key not in known]
        scored += len(architectures) - len(missing)
        if missing and not held:
            held.append((load(), batches()))
        for start in range(0, len(missing), chunk):
            part = missing[start : start + chunk]
            each = [sizes(arch) for arch in part + part[-1:] * (chunk - len(part))]
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
            counts = correct(functools.partial(count, held[0][0], stacked), held[0][1], signals)
            for arch, number in zip(part, counts):
                known[keys[arch]] = int(number)
            journal.append(
                *(
                    {
                        'supernet': digest,
                        'architecture': arch.to_json(),
                        'correct': known[keys[arch]],
                    }
                    for arch in part
                )
            )
            scored += len(part)
            report(scored)
        return np.array([known[keys[arch]] / images for arch in architectures])

    return score
