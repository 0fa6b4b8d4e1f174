"""What a run directory holds so far, read into types; a run may still be under way."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.models import FAMILIES
from s4jax.report.result import Result
from s4jax.report.scores import Scores, read_scores
from s4jax.report.timing import Timing, read_timing
from s4jax.runtime.files import read_json
from s4jax.search.budget import Budget
from s4jax.search.evolve import Evolution
from s4jax.search.explore import Step, Visited
from s4jax.search.front import Front
from s4jax.search.space import Choices, Dimension, SearchSpace, parse_name

LAST_PHASES = ('evolve', 'front', 'retrain', 'baseline', 'latency', 'test')


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A training loss: steps int (N,), losses float64 (N,), in nats."""

    steps: np.ndarray
    losses: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What a run directory holds so far.

    `config` is the resolved config and `data` the facts of the data, both as JSON; `losses` has the
    curve of every phase that trains, and `finished` the names of the finished phases, both in the
    order of the method. `scores` has those of each space whose supernet scored something;
    `latency` is the outcome of the phase of that name (see `phases.timing.Timed`).
    """

    workdir: pathlib.Path
    config: dict[str, Any]
    data: dict[str, Any]
    budget: Budget
    trajectory: tuple[Visited, ...]
    steps: tuple[Step, ...]
    evolution: Evolution | None
    losses: dict[str, Curve]
    result: Result | None
    finished: tuple[str, ...]
    scores: tuple[Scores, ...]
    timing: Timing
    front: Front | None = None
    latency: dict[str, Any] | None = None

    @property
    def spaces(self) -> tuple[SearchSpace, ...]:
        return tuple(visited.space for visited in self.trajectory)

    @property
    def ranges(self) -> dict[str, list[Dimension]]:
        """Each dimension in every space."""
        return {
            name: [space.dimensions[k] for space in self.spaces]
            for k, name in enumerate(self.spaces[0].names)
        }

    @property
    def sizes(self) -> dict[str, list[float | None]]:
        """For each cost in the budget, that of every space's largest model (None: not known)."""
        return {
            name: [visited.largest.get(name) for visited in self.trajectory]
            for name, _ in self.budget.limits
        }

    @property
    def choices(self) -> Choices:
        """Those of the tested winner, or of the best architecture that the evolution found."""
        if self.result:
            return self.result.choices
        return self.evolution.best.choices if self.evolution else {}

    @property
    def score(self) -> str:
        """What subnets are judged by: accuracy or likelihood."""
        return (self.config.get('evaluate') or {}).get('score', 'accuracy')

    @property
    def searched(self) -> set[str]:
        """What an architecture calls the sizes that are searched."""
        return {parse_name(name)[0] for name in self.config['space']} | {'depths'}

    @property
    def used(self) -> dict[str, tuple[float, ...]]:
        """The winner's values in each dimension: one, or one per block."""
        return {
            name: value if isinstance(value, tuple) else (value,)
            for name, value in self.choices.items()
        }


def read(workdir: pathlib.Path) -> Run:
    """The run of a directory; raises UsageError where it holds none."""
    known = read_json(workdir / 'config.json')
    if known is None:
        raise UsageError(f'{workdir} holds no run: config.json is missing')
    config, phases = known['config'], workdir / 'phases'
    finished = sorted((path.stem for path in phases.glob('*.json')), key=order)
    explored = [read_json(phases / f'{name}.json') for name in finished if _explores(name)]
    steps = tuple(Step.from_json(row) for row in explored if row)
    trajectory = read_json(workdir / 'trajectory.json')
    result = read_json(workdir / 'result.json')
    limits = ((name, limit) for name, limit in config['budget'].items() if limit is not None)
    evolution = read_evolution(phases / 'evolve.json', config['family'])
    return Run(
        workdir=workdir,
        config=config,
        data=known['data'],
        budget=Budget(tuple(limits)),
        trajectory=tuple(map(Visited.from_json, trajectory)) if trajectory else so_far(steps),
        steps=steps,
        evolution=evolution,
        losses=read_losses(workdir / 'metrics'),
        result=Result.from_json(result) if result else None,
        finished=tuple(finished),
        scores=tuple(read_scores(workdir, known['data'].get('search', 0), evolution)),
        timing=read_timing(workdir / 'timing.jsonl'),
        front=read_front(phases / 'front.json', config['family']),
        latency=read_json(phases / 'latency.json'),
    )


def order(phase: str) -> tuple[bool, int, bool, str]:
    """A key that sorts phases in the order of the method."""
    kind, _, number = phase.partition('_')
    if number.isdigit():
        return False, int(number), kind != 'supernet', phase
    place = LAST_PHASES.index(phase) if phase in LAST_PHASES else len(LAST_PHASES)
    return True, place, False, phase


def _explores(phase: str) -> bool:
    return phase.startswith('explore_')


def so_far(steps: tuple[Step, ...]) -> tuple[Visited, ...]:
    """The trajectory of a run that is not finished, from its exploration steps."""
    found: list[Visited] = []
    for step in steps:
        if step.space is None or step.gamma is None:
            continue
        if not found:  # the costs of the first space are in no step
            first = step.space.moved(tuple(-g for g in step.gamma))
            found.append(Visited(first, {}, (0,) * len(step.gamma)))
        chosen = next(c for c in step.candidates if c.gamma == step.gamma)
        largest = chosen.costs or {}
        found.append(Visited(step.space, largest, step.gamma, step.cosine, step.slopes))
    return tuple(found)


def read_evolution(path: pathlib.Path, family: str) -> Evolution | None:
    row = read_json(path)
    return row and Evolution.from_json(row, FAMILIES[family].Architecture.from_json)


def read_front(path: pathlib.Path, family: str) -> Front | None:
    row = read_json(path)
    return row and Front.from_json(row, FAMILIES[family].Architecture.from_json)


def read_losses(directory: pathlib.Path) -> dict[str, Curve]:
    """The curves of all phases that have trained at least one step."""
    paths = sorted(directory.glob('*.jsonl'), key=lambda path: order(path.stem))
    curves = {path.stem: read_curve(path) for path in paths}
    return {name: curve for name, curve in curves.items() if len(curve.steps)}


def read_curve(path: pathlib.Path) -> Curve:
    """The losses up to the first damaged line, as the last line of a running fit may be."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
            rows.append((row['step'], row['loss']))
        except (ValueError, KeyError, TypeError):
            break
    values = np.array(rows, np.float64).reshape(-1, 2)
    values = values[np.isfinite(values).all(1)]
    return Curve(values[:, 0].astype(int), values[:, 1])
