"""The phases of a search that score subnets: each is computed once."""

import functools

from s4jax import elastic
from s4jax.run import Task
from s4jax.runtime import seeds
from s4jax.runtime.memory import device_memory
from s4jax.runtime.session import Session
from s4jax.search import s3
from s4jax.search.evolve import Evolution, EvolveSettings, evolve
from s4jax.search.explore import Score, Step, step
from s4jax.search.front import Front, front
from s4jax.search.space import SearchSpace
from s4jax.training import evaluate
from s4jax.training.trained import Trained


def subnet_score(
    task: Task, session: Session, supernet: Trained, kind: evaluate.Kind | None = None
) -> Score:
    """The supernet's `score(architectures) -> values` on the search split.

    Without a `kind` of value it is that of the config.
    """
    widest = task.family.sizes_of(supernet.arch)
    subnets = evaluate.Subnets(
        supernet.digest,
        supernet.load,
        lambda arch: elastic.masked(task.family.sizes_of(arch), widest),
        counter(task, session, supernet),
    )
    batches = functools.partial(task.search_batches, supernet.arch, session)
    images, chunk = len(task.data.search), task.config.evaluate.architectures
    kind = kind or task.config.evaluate.score
    smaller = functools.partial(task.config.evaluate.smaller, many=True)
    score = evaluate.make_score(subnets, batches, images, chunk, session, kind)
    return device_memory(smaller)(score)


def counter(task: Task, session: Session, trained: Trained) -> evaluate.Count:
    """Counts the correct images of many subnets at once."""
    inputs = functools.partial(task.inputs.evaluate, trained.arch)
    return evaluate.make_counter(trained.model, inputs, True, session.mesh)


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


def front_of_space(
    task: Task, session: Session, space: SearchSpace, supernet: Trained, settings: EvolveSettings
) -> Front:
    """The front of accuracy against size of a space: the phase `front`."""

    points = task.config.search.front
    assert points

    def compute() -> Front:
        score = subnet_score(task, session, supernet)
        generator = functools.partial(seeds.generator, task.seed, 'front')
        return front(
            space, task.budget, task.cost, score, task.architecture, generator, settings, points
        )

    revive = functools.partial(Front.from_json, architecture=task.family.Architecture.from_json)
    return session.phase('front', compute, revive)
