"""A finished run as a comparison needs it."""

import dataclasses
import pathlib

from s4jax.report.result import Model, Result
from s4jax.runtime.files import read_json
from s4jax.runtime.goodput import seconds_of


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished run: what came out, which test images the winner got wrong, seconds by phase."""

    method: str
    seed: int
    result: Result
    wrong: frozenset[int]
    seconds: dict[str, float]

    @property
    def model(self) -> Model:
        return self.result.winner


def read(workdir: pathlib.Path, method: str, seed: int) -> Outcome | None:
    """The outcome of a run's folder, or None where it is not finished."""
    row, tested = read_json(workdir / 'result.json'), read_json(workdir / 'phases' / 'test.json')
    if row is None or tested is None:
        return None
    wrong = frozenset(tested['wrong']['winner'])
    return Outcome(method, seed, Result.from_json(row), wrong, seconds_of(workdir))
