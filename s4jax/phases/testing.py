"""The one reading of the test split: every final model is judged on the same images."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.models.inputs import Batch
from s4jax.report.result import Model, Reference
from s4jax.run import Task
from s4jax.runtime.memory import device_memory
from s4jax.runtime.session import Session
from s4jax.training import evaluate
from s4jax.training.trained import Trained


@dataclasses.dataclass(frozen=True)
class Tested:
    """The final models and what their encoder reaches by itself, on the same test images.

    `wrong` has the positions in the test split of the images that each model got wrong.
    """

    models: dict[str, Model]
    references: dict[str, Reference]
    wrong: dict[str, tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        return {
            'models': {name: m.to_json() for name, m in self.models.items()},
            'references': {name: r.to_json() for name, r in self.references.items()},
            'wrong': self.wrong,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Tested':
        return cls(
            {name: Model.from_json(m) for name, m in row['models'].items()},
            {name: Reference.from_json(r) for name, r in row['references'].items()},
            {name: tuple(positions) for name, positions in row['wrong'].items()},
        )


def test_models(task: Task, session: Session, trained: Mapping[str, Trained]) -> Tested:
    """Test accuracy of the final models, by name, in one pass over the test images."""

    def compute() -> Tested:
        everything = task.stored(task.data.everything, session.mesh)
        references = task.inputs.references(
            evaluate.watched(everything, session.signals), task.data.class_names
        )
        split = task.data.test(session.finished())
        judges: dict[str, Callable[[Batch], Any]] = {
            name: functools.partial(
                evaluate.make_judge(
                    one.model, functools.partial(task.inputs.evaluate, one.arch), session.mesh
                ),
                one.load(),
                elastic.fixed(task.family.sizes_of(one.arch)),
            )
            for name, one in trained.items()
        }
        counts = {name: count for name, (count, _) in references.items() if count}
        rows: list[dict[str, Any]] = []
        smaller = functools.partial(task.config.evaluate.smaller, many=False)
        for batch in evaluate.watched(task.stored(split, session.mesh), session.signals):
            with device_memory(smaller):
                rows.append({name: np.asarray(f(batch)) for name, f in (judges | counts).items()})
            done = min(len(split), len(rows) * len(batch['labels']))
            session.progress.advance(len(trained) * done)
        wrong = {name: evaluate.wrong([row[name] for row in rows]) for name in judges}
        numbers = {name: int(sum(row[name] for row in rows)) for name in counts}

        def model(one: Trained, errors: int) -> Model:
            costs, images = task.cost(one.arch), len(split)
            return Model(one.arch.to_json(), costs, images - errors, images)

        return Tested(
            {name: model(one, len(wrong[name])) for name, one in trained.items()},
            {
                name: Reference(description, numbers.get(name), len(split) if counted else None)
                for name, (counted, description) in references.items()
            },
            wrong,
        )

    return session.phase('test', compute, Tested.from_json)
