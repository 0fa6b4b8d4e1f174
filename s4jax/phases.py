"""The phases of a run: what each of them computes, once, and reads from its JSON ever after."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s4jax import data as datasets
from s4jax import elastic
from s4jax.models.inputs import Batch
from s4jax.report.result import Model, Reference
from s4jax.run import Task, identity
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import tree_digest
from s4jax.runtime.progress import SCORING
from s4jax.runtime.session import Session
from s4jax.search import s3
from s4jax.search.budget import Budget
from s4jax.search.evolve import Evolution, EvolveSettings, evolve
from s4jax.search.explore import Score, Step, step
from s4jax.search.space import Architecture, SearchSpace
from s4jax.training import evaluate, sampling
from s4jax.training.fit import Steps, fit
from s4jax.training.monitor import Monitor
from s4jax.training.step import initial_state, make_step
from s4jax.training.trained import Record, Trained, Training

LOOKED_AT = 2000  # steps of a supernet whose architectures are priced afterwards, evenly spread
# what changes no training but those that it names itself (sections of the config)
NOT_TRAINING = frozenset(
    'search s3 explore evolve evaluate budget baseline space supernet retrain'.split()
)


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
            drawn=lambda i: task.architecture(sampled(0, i)),
            space=space,
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
            drawn=lambda _: arch,
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
        images, over = steps * training.recipe.batch_size, over_budget(task, training.drawn, steps)
        return Record(training.arch.to_json(), training.execution, steps, digest, images, over)

    def shared() -> Record:
        if session.store is None:
            return compute()
        return session.shared(training.name, work_of(task, training), compute, Record.from_json)

    record = session.phase(training.name, shared, Record.from_json)
    return Trained(training.name, training.arch, model, record.digest, load)


def over_budget(task: Task, drawn: Callable[[int], Architecture], steps: int) -> float:
    """The share (0…1) of a training's steps whose architecture is over the config's budget."""
    budget = Budget.create(task.config.budget)
    seen = {int(i) for i in np.linspace(0, steps - 1, min(steps, LOOKED_AT))}
    return sum(not budget.fits(task.cost(drawn(i))) for i in seen) / len(seen)


def work_of(task: Task, training: Training) -> dict[str, Any]:
    """All that decides the weights of a training: equal values are the same work."""
    given = identity(task)
    return {
        'config': {k: v for k, v in given.items() if k.split('.')[0] not in NOT_TRAINING},
        'recipe': training.recipe.model_dump(mode='json'),
        'name': training.name,
        'architecture': training.arch.to_json(),
        'space': training.space and training.space.to_json(),
        'execution': training.execution,
        'images': len(training.split),
        'parent': training.parent and training.parent.digest,
        'devices': [jax.device_count(), jax.default_backend(), jax.__version__],
    }


def fit_variables(task: Task, session: Session, training: Training, model: Any) -> dict[str, Any]:
    """The variables after all steps, from the newest checkpoint where there is one."""
    name, recipe, split = training.name, training.recipe, training.split
    tx = recipe.optimizer(len(split), task.family.decays)
    example = task.inputs.example(training.arch)
    state = initial_state(model, example, tx, seeds.key(task.seed, name, 'init'))
    if training.parent:
        inherited = jax.device_get(training.parent.load())
        state |= {
            part: elastic.inherit(inherited[part], jax.device_get(state[part]))
            for part in inherited
        }
    encode = functools.partial(task.inputs.train, training.arch)
    key = seeds.key(task.seed, name)
    compiled = make_step(model, tx, task.augment, key, session.mesh, encode, task.inputs.variables)
    order = seeds.number(task.seed, name, 'order')
    steps = Steps(
        recipe.steps(len(split)),
        compiled,
        training.sizes,
        datasets.Batches(split, recipe.batch_size, order),
        training.describe,
    )
    monitor = Monitor(session.workdir, name, session.progress, recipe.batch_size)
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
    kind = task.config.evaluate.score
    return evaluate.make_score(subnets, batches, images, chunk, session, kind)


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


def s3_step(
    task: Task, session: Session, t: int, space: SearchSpace, supernet: Trained
) -> s3.S3Step:
    """One move of the space by S3, or why there is none."""

    def compute() -> s3.S3Step:
        score, rng = subnet_score(task, session, supernet), seeds.generator(task.seed, 's3', t)
        return s3.step(space, score, task.architecture, rng, task.config.s3)

    return session.phase(f's3_{t}', compute, s3.S3Step.from_json)


def evolve_space(
    task: Task,
    session: Session,
    name: str,
    space: SearchSpace,
    supernet: Trained,
    settings: EvolveSettings,
) -> Evolution:
    """The evolutionary search in a space: the phase `name`."""

    def compute() -> Evolution:
        score, rng = subnet_score(task, session, supernet), seeds.generator(task.seed, 'evolve')
        return evolve(space, task.budget, task.cost, score, task.architecture, rng, settings)

    revive = functools.partial(Evolution.from_json, architecture=task.family.Architecture.from_json)
    return session.phase(name, compute, revive)


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
        for batch in evaluate.watched(task.stored(split, session.mesh), session.signals):
            rows.append({name: np.asarray(f(batch)) for name, f in (judges | counts).items()})
            done = min(len(split), len(rows) * len(batch['labels']))
            session.progress.advance(len(trained) * SCORING * done)
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
