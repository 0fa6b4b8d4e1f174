"""Whether an export computes what JAX does: logits, classes, size on disk, time."""

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from s4jax.exporting.program import Runner, Written

BATCH = 64  # images at once; a last batch that is smaller shows that any size runs
REPEATS = 5  # the fastest of them counts
TOLERANCE = 1e-4  # of the largest logit, where the weights are float32
AGREEMENT = {'bf16': 0.98, 'int8': 0.95}  # least share of equal classes


@dataclasses.dataclass(frozen=True)
class Parity:
    """One export beside JAX on the same images.

    difference: the largest of a logit; logit: JAX's largest, absolute; equal: images with the
    same likeliest class; milliseconds: an image, in batches, on the CPU.
    """

    run_by: str
    weights: str  # none, bf16 or int8: how they are quantized
    images: int
    difference: float
    logit: float
    equal: int
    bytes: int
    milliseconds: float
    jax_milliseconds: float

    @property
    def failure(self) -> str | None:
        """Why the export is not the model, or None."""
        if self.weights == 'none':
            most = TOLERANCE * self.logit
            if self.difference <= most:  # False for NaN
                return None
            return f'a logit differs by {self.difference:.2g} from JAX, more than {most:.2g}'
        least = AGREEMENT[self.weights]
        if self.equal >= least * self.images:
            return None
        return f'{self.equal} of {self.images} classes are equal to those of JAX, under {least:.0%}'

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {'failure': self.failure}


def compare(reference: Runner, written: Written, inputs: np.ndarray, weights: str) -> Parity:
    """Runs JAX's function and a written file on the same inputs (n, …)."""
    batches = [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)]
    ours, theirs = (
        np.concatenate([run(batch) for batch in batches]).astype(np.float64)
        for run in (reference, written.run)
    )
    return Parity(
        run_by=written.run_by,
        weights=weights,
        images=len(inputs),
        difference=float(np.abs(theirs - ours).max()),
        logit=float(np.abs(ours).max()),
        equal=int((theirs.argmax(-1) == ours.argmax(-1)).sum()),
        bytes=written.bytes,
        milliseconds=_milliseconds(written.run, batches[0]),
        jax_milliseconds=_milliseconds(reference, batches[0]),
    )


def _milliseconds(run: Runner, batch: np.ndarray) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / len(batch)


def table(rows: Iterable[Parity]) -> str:
    """The comparison in Markdown."""
    lines = [
        '| run by | weights | images | largest difference of a logit | largest logit | equal class '
        '| on disk | ms an image | in JAX |',
        '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ]
    for row in rows:
        weights = 'float32' if row.weights == 'none' else row.weights
        cells = (
            row.run_by,
            weights,
            f'{row.images:,}',
            f'{row.difference:.1e}',
            f'{row.logit:.2f}',
            f'{row.equal / row.images:.1%}',
            size(row.bytes),
            f'{row.milliseconds:.3g}',
            f'{row.jax_milliseconds:.3g}',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def size(count: float) -> str:
    """Bytes in words."""
    for unit in ('B', 'kB', 'MB'):
        if count < 1000:
            return f'{count:.3g} {unit}'
        count /= 1000
    return f'{count:.3g} GB'
