"""The method in one screen: supernet → explore → … → evolve → retrain → test.

Start reading at `run`, then `s4`; the other functions are the methods that it is compared with.
What the phases compute stands in `phases`.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from s4jax import recorded, report
from s4jax.config import Config
from s4jax.phases.fitting import fit_alone, fit_supernet
from s4jax.phases.searching import evolve_space, explore_space, front_of_space, s3_step
from s4jax.phases.spending import spent
from s4jax.phases.testing import Tested, test_models
from s4jax.phases.timing import time_models
from s4jax.report.result import Result
from s4jax.run import Task, claim, prepare
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Signals
from s4jax.runtime.store import Store
from s4jax.search.budget import Budget
from s4jax.search.evolve import Evolution, EvolveSettings
from s4jax.search.explore import Visited
from s4jax.search.largest import largest
from s4jax.search.s3 import backtrack
from s4jax.search.space import Architecture, Choices, SearchSpace
from s4jax.search.start import begin, start
from s4jax.training.trained import Trained


class Found(NamedTuple):
    """What a search ends with: an architecture, how it was found, and the spaces on the way.

    `choices` are those of the architecture (none of a hand-made one); `backtracks` counts the
    spaces that were visited and given up; `others` are the winners of the other spaces, by number;
    `searched` is the number of the space, and of the supernet, that the winner is from.
    """

    architecture: Architecture
    choices: Choices
    trajectory: list[Visited]
    evolution: Evolution | None = None
    backtracks: int | None = None
    others: dict[int, Architecture] = {}
    supernets: Sequence[Trained] = ()
    searched: int = 0


def run(
    config: Config,
    workdir: pathlib.Path,
    signals: Signals,
    store: Store | None = None,
    measured: Mapping[str, Any] | None = None,
    announce: Callable[[Task, Session, SearchSpace], None] | None = None,
) -> str:
    """Runs the whole method, or what is left of it; returns the summary of what came out.

    `measured` is kept in the workdir (see `claim`); `announce(task, session, first space)` is
    called before anything is trained.
    """
    task, session = prepare(config, workdir, signals, store)
    searched, first = as_searched(task), first_space(task)
    with claim(task, workdir, measured):
        session.begin()
        if announce:
            announce(task, session, first.space)
        if config.search.source:
            recorded.copy(recorded.read(config.search.source), workdir, searched_again(searched))
        found = METHODS[config.search.kind](searched, session, first)
        tested = final_models(task, session, found)
        return report.finish(workdir, result(task, found, tested, workdir))


def final_models(task: Task, session: Session, found: Found) -> Tested:
    """Trains what was found, and the hand-made model, alone; tests all of them together."""
    of = dict(enumerate(found.supernets)).get
    last = of(found.searched)
    models = {'winner': fit_alone(task, session, 'retrain', found.architecture, last)}
    for t, arch in found.others.items():
        models[f'space {t}'] = fit_alone(task, session, f'retrain_{t}', arch, of(t))
    models['baseline'] = fit_alone(task, session, 'baseline', task.baseline, last)
    time_models(task, session, models)
    return test_models(task, session, models)  # the only read of the test split


def as_searched(task: Task) -> Task:
    """The task as its method sees it: an unconstrained one knows no budget."""
    if task.config.search.constrained:
        return task
    return dataclasses.replace(task, budget=Budget(()))


def first_space(task: Task) -> Visited:
    """The space that a search begins in; raises where nothing that it could find fits."""
    task = as_searched(task)
    if task.config.search.source:
        searched_again(task)
        return recorded.read(task.config.search.source).trajectory[0]
    space, moved = task.space, (0,) * len(task.space.dimensions)
    if task.config.search.kind == 's4':
        space, moved = start(space, task.budget, task.size, task.config.explore.infeasible_start)
    elif task.config.search.kind != 'stock':
        begin(space, task.budget, lambda choices: task.cost(task.architecture(choices)))
    return Visited(space, task.size(space), moved)


def searched_again(task: Task) -> list[int]:
    """The numbers of the recorded spaces that are searched; raises where nothing there fits."""
    assert task.config.search.source
    spaces = [v.space for v in recorded.read(task.config.search.source).trajectory]
    last, _ = backtrack(spaces, task.budget, task.cost, task.architecture)
    return list(range(last + 1)) if task.config.search.each_space else [last]


def s4(task: Task, session: Session, first: Visited) -> Found:
    """Moves the space to the best legal neighbour, supernet by supernet (section 4)."""
    trajectory = [first]
    supernets = [fit_supernet(task, session, 'supernet_0', first.space)]
    for t in range(task.config.explore.iterations):
        move = explore_space(task, session, t, trajectory[-1].space, supernets[-1])
        if move.space is None or move.gamma is None:  # no legal neighbour ascends
            trajectory[-1] = dataclasses.replace(trajectory[-1], stopped=move.stopped)
            break
        space = move.space
        trajectory.append(Visited(space, task.size(space), move.gamma, move.cosine, move.slopes))
        supernets.append(
            fit_supernet(task, session, f'supernet_{t + 1}', space, parent=supernets[-1])
        )
    return evolved(task, session, trajectory, supernets)


def s3(task: Task, session: Session, first: Visited) -> Found:
    """S3: moves without a limit, then goes back to the latest space with a model that fits."""
    trajectory = [first]
    supernets = [fit_supernet(task, session, 'supernet_0', first.space)]
    for t in range(task.config.s3.iterations):
        move = s3_step(task, session, t, trajectory[-1].space, supernets[-1])
        if move.space is None:
            trajectory[-1] = dataclasses.replace(trajectory[-1], stopped=move.stopped)
            break
        trajectory.append(Visited(move.space, task.size(move.space), move.move.gamma))
        supernets.append(
            fit_supernet(task, session, f'supernet_{t + 1}', move.space, parent=supernets[-1])
        )
    return evolved(task, session, trajectory, supernets)


def autoformer(task: Task, session: Session, first: Visited) -> Found:
    """Evolution in the space as it is given."""
    supernet = fit_supernet(task, session, 'supernet_0', first.space)
    return evolved(task, session, [first], [supernet])


def random(task: Task, session: Session, first: Visited) -> Found:
    """The best of as many random architectures of the space as an evolution scores."""
    supernet = fit_supernet(task, session, 'supernet_0', first.space)
    settings = task.config.evolve
    count = settings.population * settings.generations
    once = settings.model_copy(
        update={'population': count, 'generations': 1, 'tries': settings.tries * count}
    )
    return evolved(task, session, [first], [supernet], once)


def evolved(
    task: Task,
    session: Session,
    trajectory: list[Visited],
    supernets: list[Trained],
    settings: EvolveSettings | None = None,
) -> Found:
    """The winner of the latest space in which something fits, of the others where asked for.

    Only S3, and a smaller budget for recorded supernets, have to go back for one.
    """
    settings = settings or task.config.evolve
    spaces = [visited.space for visited in trajectory]
    last, backtracks = backtrack(spaces, task.budget, task.cost, task.architecture)

    def winner(name: str, t: int) -> Evolution:
        return evolve_space(task, session, name, trajectory[t].space, supernets[t], settings)

    evolution = winner('evolve', last)
    others = {}
    for t in range(len(trajectory) if task.config.search.each_space else 0):
        least = task.cost(task.architecture(trajectory[t].space.smallest()))
        if t != last and task.budget.fits(least):
            others[t] = winner(f'evolve_{t}', t).best.architecture
    if task.config.search.front:
        front_of_space(task, session, spaces[last], supernets[last], settings)
    best, goes_back = evolution.best, backtracks > 0 or task.config.search.kind == 's3'
    counted = backtracks if goes_back else None
    return Found(
        best.architecture, best.choices, trajectory, evolution, counted, others, supernets, last
    )


def largest_that_fits(task: Task, session: Session, first: Visited) -> Found:
    """The architecture of most parameters that fits: no supernet, no search."""
    choices = largest(first.space, task.budget, task.cost, task.architecture)
    assert choices is not None  # the smallest one fits: `first_space`
    return Found(task.architecture(choices), choices, [first])


def stock(task: Task, session: Session, first: Visited) -> Found:
    """The hand-made architecture."""
    return Found(task.baseline, {}, [first])


METHODS: dict[str, Callable[[Task, Session, Visited], Found]] = {
    's4': s4,
    's3': s3,
    'autoformer': autoformer,
    'random': random,
    'largest': largest_that_fits,
    'stock': stock,
}


def result(task: Task, found: Found, tested: Tested, workdir: pathlib.Path) -> Result:
    """All that came out of a run."""
    evolution, models = found.evolution, dict(tested.models)
    return Result(
        family=task.config.family,
        data=task.data.facts,
        budget=task.budget,
        seed=task.seed,
        encoder=task.inputs.facts,
        trajectory=tuple(found.trajectory),
        winner=models.pop('winner'),
        baseline=models.pop('baseline'),
        search_accuracy=evolution.best.accuracy if evolution else None,
        choices=found.choices,
        references=tested.references,
        evolution=evolution.stopped if evolution else None,
        method=task.config.search.method,
        backtracks=found.backtracks,
        spaces=models,
        spent=spent(task, workdir),
        derived=task.given_baseline is None,
    )
