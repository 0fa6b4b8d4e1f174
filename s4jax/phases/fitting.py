"""The trainings of a run: of a space's supernet, and of one architecture alone."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s4jax import data as datasets
from s4jax import elastic
from s4jax.models.weights import start
from s4jax.run import Task, identity
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import tree_digest
from s4jax.runtime.memory import device_memory
from s4jax.runtime.session import Session
from s4jax.search.budget import Budget
from s4jax.search.space import Architecture, SearchSpace
from s4jax.training import sampling
from s4jax.training.fit import Steps, fit
from s4jax.training.monitor import Monitor
from s4jax.training.step import initial_state, make_step
from s4jax.training.trained import Record, Trained, Training

LOOKED_AT = 2000  # steps of a supernet whose architectures are priced afterwards, evenly spread
# what changes no training but those that it names itself (sections of the config)
NOT_TRAINING = frozenset(
    'search s3 explore evolve evaluate budget latency cost baseline space supernet retrain '
    'hours'.split()
)


def fit_supernet(
    task: Task, session: Session, name: str, space: SearchSpace, parent: Trained | None = None
) -> Trained:
    """Trains the space's largest architecture, by uniformly sampled subnets, one or some a step."""
    return fit_model(task, session, supernet_training(task, name, space, parent))


def supernet_training(
    task: Task, name: str, space: SearchSpace, parent: Trained | None = None
) -> Training:
    """The training of a space's supernet; nothing is computed."""
    recipe, widest = task.config.supernet, task.architecture(space.largest())
    parent = parent if recipe.start == 'inherit' else None
    execution = sampling.execution(
        recipe, len(task.data.train), task.family.params(widest), recipe.execution
    )
    sampled = sampling.sampler(space, task.seed, name, recipe.together, recipe.sandwich)
    make = sampling.sizes_maker(space, task.architecture, task.family.sizes_of, execution)
    return Training(
        name,
        widest,
        execution,
        recipe,
        task.data.train,
        sizes=lambda attempt, i: sampling.together(make, sampled(attempt, i)),
        describe=lambda attempt, i: f'architecture {", ".join(map(str, sampled(attempt, i)))}',
        parent=parent,
        weights=recipe.weights if parent is None else None,
        drawn=lambda i: tuple(map(task.architecture, sampled(0, i))),
        space=space,
    )


def fit_alone(
    task: Task, session: Session, name: str, arch: Architecture, supernet: Trained | None = None
) -> Trained:
    """Trains one architecture on the train and search splits together.

    It starts from the weights that it shares with the supernet, where the config asks for it.
    """
    parent = supernet if task.config.retrain.start == 'supernet' else None
    return fit_model(task, session, alone_training(task, name, arch, parent))


def alone_training(
    task: Task, name: str, arch: Architecture, parent: Trained | None = None
) -> Training:
    """The training of one architecture; nothing is computed."""
    sizes = elastic.fixed(task.family.sizes_of(arch))
    return Training(
        name,
        arch,
        'fixed',
        task.config.retrain,
        task.data.everything,
        sizes=lambda *_: sizes,
        describe=lambda *_: f'architecture {arch}',
        drawn=lambda _: (arch,),
        parent=parent,
    )


def fit_model(task: Task, session: Session, training: Training) -> Trained:
    """One phase of training; later phases load its variables from its last checkpoint."""
    model = model_of(task, training)
    load = functools.cache(functools.partial(fit_variables, task, session, training, model))

    def compute() -> Record:
        steps = training.recipe.steps(len(training.split))
        digest = tree_digest(load())
        task.data.prepared.check()
        images = steps * training.recipe.images_a_step
        over = over_budget(task, training.drawn, steps)
        return Record(training.arch.to_json(), training.execution, steps, digest, images, over)

    work = functools.partial(work_of, task, training)
    shared = functools.partial(session.shared, training.name, work, compute, Record.from_json)
    record = session.phase(training.name, shared, Record.from_json)
    return Trained(training.name, training.arch, model, record.digest, load)


def model_of(task: Task, training: Training) -> Any:
    """The Flax module that a training trains."""
    dtype, drop_path = jnp.dtype(task.config.dtype), training.recipe.drop_path
    return task.family.Model(training.arch, dtype, drop_path)


def over_budget(task: Task, drawn: Callable[[int], Sequence[Architecture]], steps: int) -> float:
    """The share (0…1) of a training's architectures that are over the config's budget."""
    budget = Budget.create(task.config.budget)
    seen = {int(i) for i in np.linspace(0, steps - 1, min(steps, LOOKED_AT))}
    trained = [arch for i in sorted(seen) for arch in drawn(i)]
    return sum(not budget.fits(task.cost(arch)) for arch in trained) / len(trained)


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
    state, steps = steps_of(task, session, training, model)
    name, images = training.name, training.recipe.images_a_step
    monitor = Monitor(session.workdir, name, session.progress, images)
    splits = not state['batch_stats']
    with device_memory(lambda: training.recipe.smaller(jax.device_count(), splits)):
        return fit(state, steps, name, session, task.config.checkpoint, monitor)


def steps_of(
    task: Task, session: Session, training: Training, model: Any
) -> tuple[dict[str, Any], Steps]:
    """The state before the first step, as host values, and the steps."""
    name, recipe, split = training.name, training.recipe, training.split
    tx = recipe.optimizer(len(split), task.family.decays)
    example = task.inputs.example(training.arch)
    state = jax.device_get(initial_state(model, example, tx, seeds.key(task.seed, name, 'init')))
    if training.parent:
        inherited = jax.device_get(training.parent.load())
        state |= {part: elastic.inherit(inherited[part], state[part]) for part in inherited}
    if training.weights:
        family = task.config.family
        state |= start.starting(family, training.weights, training.arch, state)
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
    return state, steps
