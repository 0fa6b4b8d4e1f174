"""How long the final models take on this device, as wholes, beside the sums that the search saw."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from s4jax.costs import LATENCY
from s4jax.latency import Latency
from s4jax.run import Task
from s4jax.runtime.session import Session
from s4jax.training.trained import Trained


@dataclasses.dataclass(frozen=True)
class Timed:
    """Milliseconds of a batch by the name of the model: summed over its blocks, and measured.

    `facts` say what was measured (see `Latency.facts`).
    """

    facts: Mapping[str, Any]
    summed: Mapping[str, float]
    measured: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Timed':
        return cls(**row)


def time_models(task: Task, session: Session, trained: Mapping[str, Trained]) -> Timed | None:
    """Times the final models, where the budget limits their latency."""
    latency = task.costs.get(LATENCY)
    if not isinstance(latency, Latency):
        return None

    def compute() -> Timed:
        return Timed(
            latency.facts,
            {name: latency(one.arch) for name, one in trained.items()},
            {name: latency.whole(one.arch) for name, one in trained.items()},
        )

    return session.phase('latency', compute, Timed.from_json)
