"""Accuracy on held-out images: of one model, and of many subnets of a supernet at once."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import Lines
from s4jax.runtime.progress import SCORING
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.search.explore import Score
from s4jax.search.space import Architecture
from s4jax.settings import Int, Section

Count = Callable[..., jax.Array]


class EvaluateSettings(Section):
    """How held-out images are scored; it changes no accuracy, only memory and time."""

    batch_size: Int = Field(512, ge=1, le=1_000_000, description='images scored at once')
    architectures: Int = Field(
        4, ge=1, le=10_000, description='subnets scored at once, in one program'
    )

    def smaller(self, many: bool) -> str:
        """What to write where scoring needs more memory than there is; `many`: of subnets."""
        name, now = 'batch_size', self.batch_size
        if many and self.architectures > 1:
            name, now = 'architectures', self.architectures
        if now == 1:
            return 'one image of one model is too much for it: use a smaller model'
        return (
            f'write --config.evaluate.{name}={now // 2} (now {now}), for about half of it, and run '
            'the same command again: it goes on'
        )


def make_counter(
    model: nn.Module, inputs: Callable[[Any], Any], many: bool, mesh: jax.sharding.Mesh
) -> Count:
    """The compiled `count(variables, sizes, batch) -> number of correct images`.

    `inputs(batch)` gives the model's inputs; `batch` holds labels (B,) and `real` (B,), False for
    the padding of the last batch. With `many`, `sizes` has a leading axis of architectures that
    run at once, masked, over shared weights (`vmap`); the counts have it too.
    """

    def count(variables: Any, sizes: Any, batch: dict[str, jax.Array]) -> jax.Array:
        logits: Any = model.apply(variables, inputs(batch), sizes)
        correct = jnp.argmax(logits, -1) == batch['labels']
        return jnp.sum(correct & batch['real'], dtype=jnp.int32)

    counted = jax.vmap(count, (None, 0, None)) if many else count
    return jax.jit(counted, out_shardings=meshes.replicated(mesh))


def watched(batches: Iterable[Any], signals: Signals) -> Iterator[Any]:
    """The batches, until a signal arrives: then it raises `Interrupted`."""
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


@dataclasses.dataclass(frozen=True)
class Subnets:
    """A trained supernet as `make_score` needs it.

    `load()` gives its variables, `digest` identifies them, `sizes(architecture)` are a subnet's
    masked sizes, and `count(variables, sizes, batch)` counts the correct images of many subnets.
    """

    digest: str
    load: Callable[[], Any]
    sizes: Callable[[Architecture], Any]
    count: Count


def make_score(
    subnets: Subnets,
    batches: Callable[[], Iterable[Any]],
    images: int,
    chunk: int,
    session: Session,
) -> Score:
    """`score(architectures) -> accuracies` of subnets on the `images` images of `batches()`.

    Each is evaluated once and written to the journal, by the supernet's digest and the
    architecture. Architectures run in fixed chunks of `chunk`, the last one padded, so that one
    program serves all. Variables and batches are loaded when they are first needed.
    """
    journal = Lines(session.workdir / 'journal.jsonl')
    known = {
        (row['supernet'], json.dumps(row['architecture'])): row['correct'] for row in journal.rows
    }
    load = functools.cache(lambda: (subnets.load(), batches()))

    def count(part: list[Architecture]) -> np.ndarray:
        """The correct images of each architecture of a chunk, and of the last one again."""
        each = [subnets.sizes(arch) for arch in [*part, *part[-1:] * (chunk - len(part))]]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
        variables, found = load()
        counted = functools.partial(subnets.count, variables, stacked)
        return correct(counted, found, session.signals)

    scored = 0

    def score(architectures: Sequence[Architecture]) -> np.ndarray:
        nonlocal scored
        keys = {arch: (subnets.digest, json.dumps(arch.to_json())) for arch in architectures}
        missing = [arch for arch, key in keys.items() if key not in known]
        scored += len(architectures) - len(missing)
        session.progress.known(scored * images * SCORING)
        for start in range(0, len(missing), chunk):
            part = missing[start : start + chunk]
            for arch, number in zip(part, count(part)):
                known[keys[arch]] = int(number)
            journal.append(
                *(
                    {
                        'supernet': subnets.digest,
                        'architecture': arch.to_json(),
                        'correct': known[keys[arch]],
                    }
                    for arch in part
                )
            )
            scored += len(part)
            session.progress.advance(scored * images * SCORING)
        return np.array([known[keys[arch]] / images for arch in architectures])

    return score
