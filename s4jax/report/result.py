"""What came out of a run, as the pipeline hands it over and as `result.json` holds it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from s4jax.search.budget import Budget
from s4jax.search.explore import Visited
from s4jax.search.space import Choices, choices_from_json


@dataclasses.dataclass(frozen=True)
class Model:
    """A tested model: its architecture as JSON, exact costs, how many test images were correct."""

    architecture: dict[str, Any]
    costs: dict[str, float]
    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.images

    def to_json(self) -> dict[str, Any]:
        return {
            'correct': self.correct,
            'images': self.images,
            'accuracy': self.accuracy,
            'architecture': self.architecture,
            'costs': self.costs,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Model':
        return cls(row['architecture'], row['costs'], row['correct'], row['images'])


@dataclasses.dataclass(frozen=True)
class Reference:
    """What else was tested on the same images, such as the frozen encoder alone.

    The numbers are None where it is not available; the description then says why.
    """

    description: str
    correct: int | None = None
    images: int | None = None

    @property
    def accuracy(self) -> float | None:
        if self.correct is None or self.images is None:
            return None
        return self.correct / self.images

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {'description': self.description}
        if self.accuracy is None:
            return row
        return {'correct': self.correct, 'images': self.images, 'accuracy': self.accuracy} | row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Reference':
        return cls(row['description'], row.get('correct'), row.get('images'))


@dataclasses.dataclass(frozen=True)
class Spent:
    """The work of a search: images trained on in supernets, and images scored.

    A subnet scored on the whole search split counts as that many images. The shares (0…1) are those
    of architectures over the budget.
    """

    trained: int
    trained_over: float
    scored: int
    scored_over: float


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a run, and the facts that it depends on.

    `data` holds the facts of the data, `encoder` those of a frozen encoder (none: None or empty);
    `search_accuracy` and `choices` are the winner's in the evolution, and `evolution` says why the
    evolution ended: None where `method` has none. `backtracks` is S3's number of spaces that were
    given up; `spaces` has the models of further spaces that were visited; `spent` what the search
    cost. `derived`: the baseline is not config.baseline, but was derived from the budget.
    """

    family: str
    data: dict[str, Any]
    budget: Budget
    seed: int
    encoder: dict[str, Any] | None
    trajectory: tuple[Visited, ...]
    winner: Model
    baseline: Model
    search_accuracy: float | None
    choices: Choices
    references: dict[str, Reference]
    evolution: str | None
    method: str
    backtracks: int | None
    spaces: dict[str, Model]
    spent: Spent
    derived: bool = False

    def to_json(self) -> dict[str, Any]:
        found = {'search_accuracy': self.search_accuracy, 'choices': self.choices}
        return {
            'family': self.family,
            'data': self.data,
            'budget': dict(self.budget.limits),
            'seed': self.seed,
            'encoder': self.encoder,
            'trajectory': [visited.to_json() for visited in self.trajectory],
            'winner': self.winner.to_json() | found,
            'baseline': self.baseline.to_json() | ({'derived': True} if self.derived else {}),
            'references': {name: r.to_json() for name, r in self.references.items()},
            'evolution': self.evolution,
            'method': self.method,
            'backtracks': self.backtracks,
            'spaces': {name: model.to_json() for name, model in self.spaces.items()},
            'spent': dataclasses.asdict(self.spent),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Result':
        return cls(
            family=row['family'],
            data=row['data'],
            budget=Budget(tuple(row['budget'].items())),
            seed=row['seed'],
            encoder=row['encoder'],
            trajectory=tuple(Visited.from_json(visited) for visited in row['trajectory']),
            winner=Model.from_json(row['winner']),
            baseline=Model.from_json(row['baseline']),
            search_accuracy=row['winner']['search_accuracy'],
            choices=choices_from_json(row['winner']['choices']),
            references={name: Reference.from_json(r) for name, r in row['references'].items()},
            evolution=row['evolution'],
            method=row['method'],
            backtracks=row['backtracks'],
            spaces={name: Model.from_json(model) for name, model in row['spaces'].items()},
            spent=Spent(**row['spent']),
            derived=row['baseline'].get('derived', False),
        )
