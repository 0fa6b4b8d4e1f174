"""Accuracy on held-out images: of one model, and of many subnets of a supernet at once."""

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from s4jax import elastic
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import Lines
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.search.explore import Score
from s4jax.search.space import Architecture
from s4jax.settings import Int, Section

Count = Callable[..., jax.Array]
Kind = Literal['accuracy', 'likelihood']  # what a subnet is judged by
KINDS: tuple[Kind, ...] = typing.get_args(Kind)
WRONG, RIGHT, PADDING = 0, 1, 2  # what a model makes of an image
NAT, LOWEST = 256, -16  # units of a log-likelihood, and its lower bound in nats


class EvaluateSettings(Section):
    """How held-out images are scored. The sizes change memory and time alone."""

    batch_size: Int = Field(512, ge=1, le=1_000_000, description='images scored at once')
    architectures: Int = Field(
        4, ge=1, le=10_000, description='subnets scored at once, in one program'
    )
    score: Kind = Field(
        'accuracy',
        description='what a subnet is judged by: its share of correct images, or the geometric '
        'mean of the probabilities that it gives to the true classes',
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
    """The compiled `count(variables, sizes, batch) -> int32 (2,)`.

    The first number counts the correct images; the second is the sum of the log-likelihoods of the
    true classes, each in whole units of 1 / NAT, and of an image at least LOWEST nats.
    `inputs(batch)` gives the model's inputs; `batch` holds labels (B,) and `real` (B,), False for
    the padding of the last batch. With `many`, `sizes` has a leading axis of architectures that
    run at once, masked, over shared weights (`vmap`); the counts have it too. Every device counts
    its own rows: left to XLA, a convolution under `vmap` would gather the batch.
    """

    place = elastic.Place.of(mesh)

    def count(variables: Any, sizes: Any, batch: dict[str, jax.Array]) -> jax.Array:
        with elastic.on(place.alone()):
            logits: Any = model.apply(variables, inputs(batch), sizes)
        correct = jnp.argmax(logits, -1) == batch['labels']
        odds = jax.nn.log_softmax(logits.astype(jnp.float32))
        chosen = jnp.take_along_axis(odds, batch['labels'][:, None], -1)[:, 0]
        units = jnp.round(NAT * jnp.maximum(chosen, LOWEST)).astype(jnp.int32)
        both = jnp.stack([correct.astype(jnp.int32), units], -1)
        return jnp.sum(both * batch['real'][:, None], 0, dtype=jnp.int32)

    counted = jax.vmap(count, (None, 0, None)) if many else count
    return jax.jit(meshes.summed(mesh, counted), out_shardings=meshes.replicated(mesh))


def make_judge(
    model: nn.Module, inputs: Callable[[Any], Any], mesh: jax.sharding.Mesh
) -> Callable[..., jax.Array]:
    """The compiled `judge(variables, sizes, batch) -> int8 (B,)` of every image of a batch.

    RIGHT, WRONG, or PADDING of the last batch.
    """

    place = elastic.Place.of(mesh)

    def judge(variables: Any, sizes: Any, batch: dict[str, jax.Array]) -> jax.Array:
        with elastic.on(place):
            logits: Any = model.apply(variables, inputs(batch), sizes)
        verdict = jnp.where(jnp.argmax(logits, -1) == batch['labels'], RIGHT, WRONG)
        return jnp.where(batch['real'], verdict, PADDING).astype(jnp.int8)

    return jax.jit(judge, out_shardings=meshes.replicated(mesh))


def wrong(verdicts: Sequence[np.ndarray]) -> tuple[int, ...]:
    """The positions of the wrong images, from the verdicts of all batches in order."""
    together = np.concatenate(verdicts)
    return tuple(np.flatnonzero(together[together != PADDING] == WRONG).tolist())


def watched(batches: Iterable[Any], signals: Signals) -> Iterator[Any]:
    """The batches, until a signal arrives: then it raises `Interrupted`."""
    for batch in batches:
        if meshes.any_host(signals.received is not None):
            raise Interrupted
        yield batch


def correct(count: Callable[[Any], Any], batches: Iterable[Any], signals: Signals) -> Any:
    """The sum of `count(batch)`, a tree of whole numbers, over all batches.

    Counts are whole numbers, so that their order cannot change a ranking.
    """
    total = None
    for batch in watched(batches, signals):
        counted = jax.tree.map(lambda leaf: np.asarray(leaf, np.int64), count(batch))
        total = counted if total is None else jax.tree.map(np.add, total, counted)
    return total


def value(correct: int, units: int, images: int, kind: Kind) -> float:
    """The accuracy of `images` images, or the geometric mean of their true classes' probabilities.

    `units` is the sum of their log-likelihoods in 1 / NAT.
    """
    return correct / images if kind == 'accuracy' else math.exp(units / NAT / images)


@dataclasses.dataclass(frozen=True)
class Subnets:
    """A trained supernet as `make_score` needs it.

    `load()` gives its variables, `digest` identifies them, `sizes(architecture)` are a subnet's
    masked sizes, and `count(variables, sizes, batch)` are the counts (K, 2) of many subnets.
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
    kind: Kind = 'accuracy',
) -> Score:
    """`score(architectures) -> values` (0…1) of subnets on the `images` images of `batches()`.

    The value is the accuracy, or the geometric mean of the probabilities of the true classes. Each
    subnet is evaluated once and written to the journal, by the supernet's digest and the
    architecture, with both counts. Architectures run in fixed chunks of `chunk`, the last one
    padded, so that one program serves all. Variables and batches are loaded when they are first
    needed.
    """
    journal = Lines(session.workdir / 'journal.jsonl')
    known = {
        (row['supernet'], json.dumps(row['architecture'])): (row['correct'], row['units'])
        for row in journal.rows
    }

    load = functools.cache(lambda: (subnets.load(), batches()))

    def count(part: list[Architecture]) -> np.ndarray:
        """The counts of each architecture of a chunk, and of the last one again."""
        each = [subnets.sizes(arch) for arch in [*part, *part[-1:] * (chunk - len(part))]]
        variables, found = load()
        counted = functools.partial(subnets.count, variables, elastic.stacked(each))
        return correct(counted, found, session.signals)

    scored = 0

    def score(architectures: Sequence[Architecture]) -> np.ndarray:
        nonlocal scored
        keys = {arch: (subnets.digest, json.dumps(arch.to_json())) for arch in architectures}
        missing = [arch for arch, key in keys.items() if key not in known]
        scored += len(architectures) - len(missing)
        session.progress.known(scored * images)
        for start in range(0, len(missing), chunk):
            part = missing[start : start + chunk]
            for arch, numbers in zip(part, count(part)):
                known[keys[arch]] = (int(numbers[0]), int(numbers[1]))
            journal.append(
                *(
                    {
                        'supernet': subnets.digest,
                        'architecture': arch.to_json(),
                        'correct': known[keys[arch]][0],
                        'units': known[keys[arch]][1],
                    }
                    for arch in part
                )
            )
            scored += len(part)
            session.progress.advance(scored * images)
        return np.array([value(*known[keys[arch]], images, kind) for arch in architectures])

    return score
