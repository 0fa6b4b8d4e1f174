"""The method in one screen: supernet → explore → … → evolve → retrain → test.

Start reading at `run`. A phase is one part of a run: it is computed once, and read from its JSON
when the run goes on after it.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from s4jax import data as datasets
from s4jax import elastic, report
from s4jax.config import Config
from s4jax.models.inputs import Batch
from s4jax.report.result import Model, Reference, Result
from s4jax.run import Task, claim, prepare
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import tree_digest
from s4jax.runtime.memory import device_memory
from s4jax.runtime.progress import SCORING
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Signals
from s4jax.search.evolve import Evolution, evolve
from s4jax.search.explore import Score, Step, Visited, step
from s4jax.search.space import Architecture, SearchSpace
from s4jax.search.start import start
from s4jax.training import evaluate, sampling
from s4jax.training.fit import Steps, fit
from s4jax.training.monitor import Monitor
from s4jax.training.step import initial_state, make_step
from s4jax.training.trained import Record, Trained, Training


def run(config: Config, workdir: pathlib.Path, signals: Signals) -> str:
    """Runs the whole method, or what is left of it; returns the summary of what came out."""
    task, session = prepare(config, workdir, signals)
    space, moved = start(task.space, task.budget, task.size, config.explore.infeasible_start)
    with claim(task, workdir):
        return search(task, session, space, moved)


def search(task: Task, session: Session, space: SearchSpace, moved: tuple[int, ...]) -> str:
    """The method, from the first space to the test."""
    config = task.config
    trajectory = [Visited(space, task.size(space), moved)]

    supernet = fit_supernet(task, session, 'supernet_0', space)
    for t in range(config.explore.iterations):
        move = explore_space(task, session, t, space, supernet)
        if move.space is None or move.gamma is None:  # no legal neighbour ascends
            trajectory[-1] = dataclasses.replace(trajectory[-1], stopped=move.stopped)
            break
        space = move.space
        trajectory.append(Visited(space, task.size(space), move.gamma, move.cosine, move.slopes))
        supernet = fit_supernet(task, session, f'supernet_{t + 1}', space, parent=supernet)
    evolution = evolve_space(task, session, space, supernet)
    winner = fit_alone(task, session, 'retrain', evolution.best.architecture)
    baseline = fit_alone(task, session, 'baseline', task.baseline)
    tested = test_models(task, session, winner, baseline)  # the only read of the test split
    return report.finish(session.workdir, result(task, trajectory, evolution, tested))


def fit_supernet(
    task: Task, session: Session, name: str, space: SearchSpace, parent: Trained | None = None
) -> Trained:
    """Trains the space's largest architecture, one uniformly sampled subnet a step."""
    recipe, widest = task.config.supernet, task.architecture(space.largest())
    execution = sampling.execution(
        recipe, len(task.data.train), task.family.params(widest), recipe.execution
    )
    sampled = sampling.sampler(space, task.seed, name)
    make = sampling.sizes_maker(space, task.architecture, task.family.sizes_of, execution)
    return fit_model(
        task,
        session,
        Training(
            name,
            widest,
            execution,
            recipe,
            task.data.train,
            sizes=lambda attempt, i: make(sampled(attempt, i)),
            describe=lambda attempt, i: f'architecture {sampled(attempt, i)}',
            parent=parent if recipe.start == 'inherit' else None,
        ),
    )


def fit_alone(task: Task, session: Session, name: str, arch: Architecture) -> Trained:
    """Trains one architecture from scratch on the train and search splits together."""
    sizes = elastic.fixed(task.family.sizes_of(arch))
    return fit_model(
        task,
        session,
        Training(
            name,
            arch,
            'fixed',
            task.config.retrain,
            task.data.everything,
            sizes=lambda *_: sizes,
            describe=lambda *_: f'architecture {arch}',
        ),
    )


def fit_model(task: Task, session: Session, training: Training) -> Trained:
    """One phase of training; later phases load its variables from its last checkpoint."""
    dtype, drop_path = jnp.dtype(task.config.dtype), training.recipe.drop_path
    model = task.family.Model(training.arch, dtype, drop_path)
    load = functools.cache(functools.partial(fit_variables, task, session, training, model))

    def compute() -> Record:
        steps = training.recipe.steps(len(training.split))
        digest = tree_digest(load())
        task.data.prepared.check()
        return Record(training.arch.to_json(), training.execution, steps, digest)

    record = session.phase(training.name, compute, Record.from_json)
    return Trained(training.name, training.arch, model, record.digest, load)


def fit_variables(task: Task, session: Session, training: Training, model: Any) -> dict[str, Any]:
    """The variables after all steps, from the newest checkpoint where there is one."""
    name, recipe, split = training.name, training.recipe, training.split
    tx = recipe.optimizer(len(split), task.family.decays)
    example = task.inputs.example(training.arch)
    state = jax.device_get(initial_state(model, example, tx, seeds.key(task.seed, name, 'init')))
    if training.parent:
        inherited = jax.device_get(training.parent.load())
        state |= {part: elastic.inherit(inherited[part], state[part]) for part in inherited}
    encode = functools.partial(task.inputs.train, training.arch)
    key = seeds.key(task.seed, name)
    frozen = task.inputs.variables
    compiled = make_step(model, tx, task.augment, key, session.mesh, encode, frozen, recipe)
    order = seeds.number(task.seed, name, 'order')
    steps = Steps(
        recipe.steps(len(split)),
        compiled,
        training.sizes,
        datasets.Batches(split, recipe.batch_size, order),
        training.describe,
        recipe.sharding,
    )
    monitor = Monitor(session.workdir, name, session.progress, recipe.batch_size)
    splits = not state['batch_stats']
    with device_memory(lambda: recipe.smaller(jax.device_count(), splits)):
        return fit(state, steps, name, session, task.config.checkpoint, monitor)


def subnet_score(task: Task, session: Session, supernet: Trained) -> Score:
    """The supernet's `score(architectures) -> accuracies` on the search split."""
    widest = task.family.sizes_of(supernet.arch)
    subnets = evaluate.Subnets(
        supernet.digest,
        supernet.load,
        lambda arch: elastic.masked(task.family.sizes_of(arch), widest),
        counter(task, session, supernet, many=True),
    )
    batches = functools.partial(task.search_batches, supernet.arch, session)
    images, chunk = len(task.data.search), task.config.evaluate.architectures
    smaller = functools.partial(task.config.evaluate.smaller, many=True)
    return device_memory(smaller)(evaluate.make_score(subnets, batches, images, chunk, session))


def counter(task: Task, session: Session, trained: Trained, many: bool) -> evaluate.Count:
    inputs = functools.partial(task.inputs.evaluate, trained.arch)
    return evaluate.make_counter(trained.model, inputs, many, session.mesh)


def explore_space(
    task: Task, session: Session, t: int, space: SearchSpace, supernet: Trained
) -> Step:
    """One move of the space, or why there is none."""
    # only the first space, under infeasible_start='move', does not fit
    forced = not task.budget.fits(task.size(space), strict=True)

    def compute() -> Step:
        score, rng = subnet_score(task, session, supernet), seeds.generator(task.seed, 'explore', t)
        settings = task.config.explore
        return step(space, task.budget, task.size, score, task.architecture, rng, settings, forced)

    return session.phase(f'explore_{t}', compute, Step.from_json)


def evolve_space(task: Task, session: Session, space: SearchSpace, supernet: Trained) -> Evolution:
    """The evolutionary search in the last space."""

    def compute() -> Evolution:
        score, rng = subnet_score(task, session, supernet), seeds.generator(task.seed, 'evolve')
        settings = task.config.evolve
        return evolve(space, task.budget, task.cost, score, task.architecture, rng, settings)

    revive = functools.partial(Evolution.from_json, architecture=task.family.Architecture.from_json)
    return session.phase('evolve', compute, revive)


@dataclasses.dataclass(frozen=True)
class Tested:
    """The final models and what their encoder reaches by itself, on the same test images."""

    winner: Model
    baseline: Model
    references: dict[str, Reference]

    def to_json(self) -> dict[str, Any]:
        return {
            'winner': self.winner.to_json(),
            'baseline': self.baseline.to_json(),
            'references': {name: r.to_json() for name, r in self.references.items()},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> 'Tested':
        references = {name: Reference.from_json(r) for name, r in row['references'].items()}
        return cls(Model.from_json(row['winner']), Model.from_json(row['baseline']), references)


def test_models(task: Task, session: Session, winner: Trained, baseline: Trained) -> Tested:
    """Test accuracy of the two final models, in one pass over the test images."""

    def compute() -> Tested:
        everything = task.stored(task.data.everything, session.mesh)
        references = task.inputs.references(
            evaluate.watched(everything, session.signals), task.data.class_names
        )
        split = task.data.test(session.finished())
        counts: dict[str, Callable[[Batch], Any]] = {
            trained.name: functools.partial(
                counter(task, session, trained, many=False),
                trained.load(),
                elastic.fixed(task.family.sizes_of(trained.arch)),
            )
            for trained in (winner, baseline)
        }
        counts |= {name: count for name, (count, _) in references.items() if count}

        def batches() -> Iterator[Batch]:
            for n, batch in enumerate(task.stored(split, session.mesh), start=1):
                yield batch
                done = min(len(split), n * len(batch['labels']))
                session.progress.advance(2 * SCORING * done)

        def count(batch: Batch) -> dict[str, Any]:
            return {name: function(batch) for name, function in counts.items()}

        with device_memory(functools.partial(task.config.evaluate.smaller, many=False)):
            found = evaluate.correct(count, batches(), session.signals)
        numbers = {name: int(number) for name, number in found.items()}

        def model(trained: Trained) -> Model:
            arch = trained.arch
            return Model(arch.to_json(), task.cost(arch), numbers[trained.name], len(split))

        return Tested(
            model(winner),
            model(baseline),
            {
                name: Reference(description, numbers.get(name), len(split) if counted else None)
                for name, (counted, description) in references.items()
            },
        )

    return session.phase('test', compute, Tested.from_json)


def result(task: Task, trajectory: list[Visited], evolution: Evolution, tested: Tested) -> Result:
    """All that came out of a run."""
    return Result(
        family=task.config.family,
        data=task.data.facts,
        budget=task.budget,
        seed=task.seed,
        encoder=task.inputs.facts,
        trajectory=tuple(trajectory),
        winner=tested.winner,
        baseline=tested.baseline,
        search_accuracy=evolution.best.accuracy,
        choices=evolution.best.choices,
        references=tested.references,
        evolution=evolution.stopped,
    )
