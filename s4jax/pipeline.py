"""The method in one screen: supernet → explore → … → evolve → retrain → test. Start reading at `run`."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from s4jax import data as datasets
from s4jax import elastic, report
from s4jax.data import Split
from s4jax.models.clip.references import encoder_alone
from s4jax.run import Job
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import Checkpoints
from s4jax.runtime.files import Lines
from s4jax.runtime.progress import SCORING, Progress
from s4jax.runtime.signals import Signals
from s4jax.search.evolve import evolve
from s4jax.search.explore import step
from s4jax.search.space import Architecture, Choices, SearchSpace
from s4jax.search.start import start
from s4jax.training import evaluate
from s4jax.training.fit import Trained, fit
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step


def run(config: dict[str, Any], workdir: pathlib.Path, signals: Signals) -> str:
    """Runs the whole method, or what is left of it; returns the summary of what came out."""
    job = Job.create(config, workdir, signals)
    space, moved = start(job.space, job.budget, job.size, config['explore']['infeasible_start'])
    job.claim()
    trajectory = [report.visited(space, job.size(space), moved)]

    supernet = fit_supernet(job, 'supernet_0', space)
    for t in range(config['explore']['iterations']):
        step = job.stage(f'explore_{t}', lambda: explore_step(job, t, space, supernet))
        if step['space'] is None:  # no legal neighbour ascends
            trajectory[-1]['stopped'] = step['stopped']
            break
        space = SearchSpace.from_json(step['space'])
        trajectory.append(report.visited(space, job.size(space), step['gamma'], step))
        supernet = fit_supernet(job, f'supernet_{t + 1}', space, parent=supernet)
    found = job.stage('evolve', lambda: evolve_step(job, space, supernet))
    best = job.family.Architecture.from_json(found['best']['architecture'])
    winner = fit_alone(job, 'retrain', best)
    baseline = fit_alone(job, 'baseline', job.baseline)
    tested = job.stage(
        'test', lambda: test(job, winner, baseline)
    )  # the only read of the test split
    return report.finish(workdir, job.facts, trajectory, found, tested)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model: its widest architecture, a digest of its variables, and how to get them."""

    name: str
    model: Any
    arch: Architecture
    execution: str
    digest: str
    load: Callable[[], Any]


def fit_supernet(job: Job, name: str, space: SearchSpace, parent: Fitted | None = None) -> Fitted:
    """Trains the model of the space's largest architecture, one uniformly sampled architecture a step."""
    section = dict(job.config['supernet'])
    execution, start = section.pop('execution'), section.pop('start')
    recipe, widest = Recipe(**section), job.architecture(space.largest())
    if (
        execution == 'auto'
    ):  # a sliced step costs one compilation per width: too much for tiny models and short runs
        long = recipe.steps(len(job.data.train)) >= 1000 and job.family.params(widest) >= 1e6
        execution = 'sliced' if long else 'masked'

    @functools.lru_cache(1024)
    def sampled(attempt: int, i: int) -> Choices:
        return space.sample(seeds.generator(job.seed, name, attempt, i))

    make = sizes_maker(space, job.architecture, job.family.sizes_of, execution)

    def sizes(attempt: int, i: int) -> Any:
        return make(sampled(attempt, i))

    def describe(attempt: int, i: int) -> str:
        return f'architecture {sampled(attempt, i)}'

    inherited = parent if start == 'inherit' else None
    return fit_model(
        job, name, widest, execution, recipe, job.data.train, sizes, describe, inherited
    )


def fit_alone(job: Job, name: str, arch: Architecture) -> Fitted:
    """Trains one architecture from scratch on the train and search splits together."""
    sizes = elastic.fixed(job.family.sizes_of(arch))
    return fit_model(
        job,
        name,
        arch,
        'fixed',
        Recipe(**job.config['retrain']),
        job.data.everything,
        lambda *_: sizes,
        lambda *_: f'architecture {arch}',
    )


def fit_model(
    job: Job,
    name: str,
    arch: Architecture,
    execution: str,
    recipe: Recipe,
    split: Split,
    sizes: Callable,
    describe: Callable,
    parent: Fitted | None = None,
) -> Fitted:
    """One stage of training. Its variables come from its last checkpoint when a later stage needs them."""
    model = job.family.Model(arch, jnp.dtype(job.config['dtype']), recipe.drop_path)
    checkpoints = Checkpoints(job.workdir / 'checkpoints' / name, job.progress.warn)
    steps = recipe.steps(len(split))

    def trained(progress: Progress | None) -> Trained:
        tx = recipe.optimizer(len(split), job.family.decays)
        state = initial_state(model, job.example(arch), tx, seeds.key(job.seed, name, 'init'))
        if parent:
            inherited = jax.device_get(parent.load())
            state |= {
                part: elastic.inherit(inherited[part], jax.device_get(state[part]))
                for part in inherited
            }
        return fit(
            state,
            make_step(
                model,
                tx,
                job.augment,
                seeds.key(job.seed, name),
                job.mesh,
                functools.partial(job.encoder.encode, arch=arch),
                job.encoder.variables,
            ),
            sizes,
            datasets.Batches(split, recipe.batch_size, seeds.number(job.seed, name, 'order')),
            steps=steps,
            checkpoints=checkpoints,
            metrics_path=job.workdir / 'metrics' / f'{name}.jsonl',
            mesh=job.mesh,
            signals=job.signals,
            describe=describe,
            report=report.Training(job.workdir, name, progress, recipe.batch_size),
            warn=job.progress.warn,
            **job.config['checkpoint'],
        )

    held: list[Trained] = []

    def compute() -> dict[str, Any]:
        held.append(trained(job.progress))
        return {
            'architecture': arch.to_json(),
            'execution': execution,
            'steps': steps,
            'digest': held[0].digest,
        }

    def load() -> Any:
        if not held:
            held.append(trained(None))  # from its last checkpoint, inside another stage
        return held[0].variables

    done = job.stage(name, compute)
    return Fitted(name, model, arch, execution, done['digest'], load)


def sizes_maker(
    space: SearchSpace, architecture: Callable, sizes_of: Callable, execution: str
) -> Callable[[Choices], Any]:
    """What makes of choices the sizes that the supernet's step runs: masked, or sliced with the blocks switched."""
    widest = sizes_of(architecture(space.largest()))
    blocks = [dimension for dimension in space.dimensions if dimension.per_block]

    @functools.lru_cache(1024)
    def options(shared: tuple[tuple[str, Any], ...]) -> Any:
        """All values of each per-block size where the other dimensions have the values `shared`."""
        first, each = dict(shared), []
        first |= {d.name: (d.values[0],) * space.blocks(d, first) for d in blocks}
        for stage in range(
            len(space.stages)
        ):  # a block's sizes depend on the dimensions of its own stage alone
            own = [d for d in blocks if d.stage in (None, stage)]
            each += [
                first | {d.name: (value,) * len(first[d.name]) for d, value in zip(own, values)}
                for values in itertools.product(*(d.values for d in own))
            ]
        return elastic.options([sizes_of(architecture(choices)) for choices in each])

    def make(choices: Choices) -> Any:
        sizes = sizes_of(architecture(choices))
        if execution == 'masked':
            return elastic.masked(sizes, widest)
        shared = tuple((d.name, choices[d.name]) for d in space.dimensions if not d.per_block)
        return elastic.switched(sizes, options(shared), widest)

    return make


def make_score(job: Job, supernet: Fitted) -> Callable:
    """The supernet's `score(architectures) -> accuracies` on the search split."""
    settings, widest = job.config['evaluate'], job.family.sizes_of(supernet.arch)

    def sizes(arch: Architecture) -> Any:
        return elastic.masked(job.family.sizes_of(arch), widest)

    return evaluate.make_score(
        counter(job, supernet, many=True),
        supernet.load,
        supernet.digest,
        sizes,
        lambda: job.search_batches(supernet.arch),
        len(job.data.search),
        Lines(job.workdir / 'journal.jsonl'),
        settings['architectures'],
        job.signals,
        lambda scored: job.progress.reached(scored * len(job.data.search) * SCORING),
    )


def counter(job: Job, fitted: Fitted, many: bool) -> Callable:
    return evaluate.make_counter(
        fitted.model, functools.partial(job.inputs, fitted.arch), many, job.mesh
    )


def explore_step(job: Job, t: int, space: SearchSpace, supernet: Fitted) -> dict[str, Any]:
    settings = {name: job.config['explore'][name] for name in ('pairs', 'units')}
    forced = not job.budget.fits(
        job.size(space), strict=True
    )  # only A₀ under infeasible_start='move'
    return step(
        space,
        job.budget,
        job.size,
        make_score(job, supernet),
        job.architecture,
        seeds.generator(job.seed, 'explore', t),
        forced=forced,
        **settings,
    ).to_json()


def evolve_step(job: Job, space: SearchSpace, supernet: Fitted) -> dict[str, Any]:
    return evolve(
        space,
        job.budget,
        job.cost,
        make_score(job, supernet),
        job.architecture,
        seeds.generator(job.seed, 'evolve'),
        **job.config['evolve'],
    ).to_json()


def test(job: Job, winner: Fitted, baseline: Fitted) -> dict[str, Any]:
    """Test accuracy of the two final models, and of what their encoder reaches by itself, on the same pass over the images."""
    references = {}
    if job.encoder.tower is not None:
        references = encoder_alone(
            evaluate.watched(job.batches(job.data.everything), job.signals),
            *job.encoder.class_weights(job.data.class_names),
        )
    split, models = job.data.test(job.finished()), (winner, baseline)
    counts = {
        fitted.name: functools.partial(
            counter(job, fitted, many=False),
            fitted.load(),
            elastic.fixed(job.family.sizes_of(fitted.arch)),
        )
        for fitted in models
    }
    counts |= {name: count for name, (count, _) in references.items() if count}

    def batches():
        for n, batch in enumerate(job.batches(split), start=1):
            yield batch
            job.progress.reached(2 * SCORING * min(len(split), n * len(batch['labels'])))

    numbers = evaluate.correct(
        lambda batch: {name: count(batch) for name, count in counts.items()}, batches(), job.signals
    )
    result = {
        name: {'correct': int(number), 'images': len(split), 'accuracy': int(number) / len(split)}
        for name, number in numbers.items()
    }
    return {
        fitted.name: result[fitted.name]
        | {'architecture': fitted.arch.to_json(), 'costs': job.cost(fitted.arch)}
        for fitted in models
    } | {
        'references': {
            name: result.get(name, {}) | {'told': told} for name, (_, told) in references.items()
        }
    }
