"""A run: what is searched (`Task`), checked before anything is trained, and whose folder it is."""

import contextlib
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from s4jax import data as datasets
from s4jax import report
from s4jax.config import Config
from s4jax.data import Split, augment
from s4jax.errors import UsageError
from s4jax.models import COSTS, FAMILIES, inputs_of
from s4jax.models.inputs import Batch, Images
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import check_folder, read_json, write_json
from s4jax.runtime.progress import SCORING, Progress
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Signals
from s4jax.search.budget import Budget
from s4jax.search.space import Architecture, Choices, SearchSpace
from s4jax.training.recipe import Recipe

# what changes no result may differ when a run goes on: cadence and paths (section, key or all)
FREE = (
    ('checkpoint', None),
    ('data', 'root'),
    ('data', 'unreadable'),
    ('encoder', 'weights'),
    ('encoder', 'trust'),
    ('encoder', 'cache'),
)


@dataclasses.dataclass(frozen=True)
class Task:
    """What is searched: a family's architectures, on which data, in which space and budget."""

    config: Config
    family: Any
    inputs: Images
    data: datasets.Data
    space: SearchSpace
    budget: Budget

    @property
    def seed(self) -> int:
        return self.config.seed

    def architecture(self, choices: Choices, **inputs: Any) -> Architecture:
        """The architecture of a point of a space; `inputs` replace values of config.model."""
        classes = len(self.data.class_names)
        return architecture(self.config, self.inputs, choices, classes, **inputs)

    def cost(self, arch: Architecture) -> dict[str, float]:
        """{name: cost}: parameters and multiply-accumulates."""
        return {name: getattr(self.family, name)(arch) for name in COSTS}

    def size(self, space: SearchSpace) -> dict[str, float]:
        """M(A) of Eq. 4: the costs of the space's largest architecture."""
        return self.cost(self.architecture(space.largest()))

    @functools.cached_property
    def baseline(self) -> Architecture:
        """The hand-made architecture."""
        return hand_made(self.config, self.inputs, self.space, len(self.data.class_names))

    def augment(self, key: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Augmented images (B, S, S, C) and soft targets (B, classes) of a batch, on the device."""
        return augment.train_batch(
            key,
            batch['images'],
            batch['labels'],
            len(self.data.class_names),
            self.config.inputs['image_size'],
            self.config.augment,
            self.config.preprocess,
            jax.device_count(),
        )

    def batches(self, split: Split) -> Iterator[Batch]:
        """This host's parts of a split's batches, in order."""
        return datasets.in_order(split, self.config.evaluate.batch_size)

    def stored(self, split: Split, mesh: jax.sharding.Mesh) -> Iterator[Batch]:
        """A split's batches in order, on the devices, with what evaluation needs of them."""
        return (self.inputs.stored(meshes.shard(mesh, batch)) for batch in self.batches(split))

    def search_batches(self, arch: Architecture, session: Session) -> Iterable[Batch]:
        """The search split's batches, to be iterated for every chunk of subnets of `arch`."""
        identity = {
            'data': self.data.digest,
            'split': 'search',
            'batch_size': self.config.evaluate.batch_size,
            'preprocess': self.config.preprocess.model_dump(mode='json'),
            'image_size': self.config.inputs['image_size'],
        }
        return self.inputs.kept(
            arch,
            functools.partial(self.batches, self.data.search),
            session.workdir / 'features',
            identity,
            session.mesh,
            session.progress.warn,
        )


def architecture(
    config: Config, inputs: Images, choices: Choices, classes: int, **replaced: Any
) -> Architecture:
    """The architecture of a point of the config's space, for that many classes."""
    values = inputs.given | config.inputs | replaced
    return FAMILIES[config.family].architecture(choices, classes=classes, **values)


def hand_made(config: Config, inputs: Images, space: SearchSpace, classes: int) -> Architecture:
    """The architecture of config.baseline: one value of a dimension may stand for every block."""
    given = {name: value for name, value in config.baseline if value is not None}
    replaced = {name: value for name, value in given.items() if name not in space.names}
    choices = {name: given[name] for name in space.names}
    for dimension in space.dimensions:
        if dimension.per_block and isinstance(choices[dimension.name], int | float):
            blocks = space.blocks(dimension, choices)
            choices[dimension.name] = (choices[dimension.name],) * blocks
    return architecture(config, inputs, choices, classes, **replaced)


def prepare(config: Config, workdir: pathlib.Path, signals: Signals) -> tuple[Task, Session]:
    """Checks the config against itself, the data and the devices; nothing is written yet."""
    check_folder(workdir)
    family, mesh = FAMILIES[config.family], meshes.create()
    check_batches(config)
    preprocess = functools.partial(
        augment.eval_batch, image_size=config.inputs['image_size'], preprocess=config.preprocess
    )
    inputs = inputs_of(family).create(config.encoder, config.inputs, preprocess, mesh, config.seed)
    dimensions = (d.dimension(name) for name, d in config.dimensions.items())
    space = SearchSpace(
        tuple(map(inputs.bounded, dimensions)), family.stages(tuple(config.dimensions))
    )
    check_architectures(config, inputs, space)
    data = datasets.load(config.data, config.seed, lambda: signals.received is not None)
    task = Task(config, family, inputs, data, space, Budget.create(config.budget))
    check_data(task)
    progress = Progress(workdir, work(config, data), shown=meshes.is_first_host())
    renew = functools.partial(report.renew, workdir, progress.warn)
    return task, Session(workdir, mesh, signals, progress, renew)


def check_batches(config: Config) -> None:
    """Raises where a batch does not divide over the devices."""
    devices = jax.device_count()
    for section, recipe in (('supernet', config.supernet), ('retrain', config.retrain)):
        if recipe.batch_size % devices:
            raise UsageError(
                f'config.{section}.batch_size={recipe.batch_size} must be a multiple of the '
                f'{devices} devices: write {meshes.round_up(recipe.batch_size)}'
            )


def check_architectures(config: Config, inputs: Images, space: SearchSpace) -> None:
    """Raises where the family refuses a value of the space, or the hand-made model.

    A space that the search moves to has values of the same kind, so what passes here passes later.
    """
    make: Callable[[Choices], Architecture] = functools.partial(
        architecture, config, inputs, classes=2
    )
    with explained('config.model with the lower bounds of config.space'):
        make(space.smallest())
    for dimension in space.dimensions:
        for value in dimension.values:
            with explained(f'config.space.{dimension.name}={value}'):
                make(space.uniform('lower', {dimension.name: value}))
    with explained('config.baseline'):
        hand_made(config, inputs, space, 2)


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Adds to a UsageError the part of the config that it is about."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f'{where}: {error}') from None


def check_data(task: Task) -> None:
    """Raises where the images do not suit the model or the batches."""
    config, data = task.config, task.data
    stored, channels = data.prepared.images.shape[-1], config.inputs['channels']
    if stored != channels:
        raise UsageError(
            f'config.model.channels={channels}, but the images of {data.name} have {stored}: '
            f'write {stored}, and as many values in config.preprocess.mean and std'
        )
    for section, recipe, split in (
        ('supernet', config.supernet, data.train),
        ('retrain', config.retrain, data.everything),
    ):
        if recipe.batch_size > len(split):
            raise UsageError(
                f'config.{section}.batch_size={recipe.batch_size} exceeds the {len(split):,} '
                'training images: lower it'
            )


def work(config: Config, data: datasets.Data) -> dict[str, float]:
    """The work of every phase, in images trained on."""

    def training(recipe: Recipe, images: int) -> float:
        return recipe.steps(images) * recipe.batch_size

    iterations, evolve = config.explore.iterations, config.evolve
    pairs = 2 * config.explore.pairs * len(config.dimensions)
    search, retrain = len(data.search) * SCORING, training(config.retrain, len(data.everything))
    phases = dict.fromkeys(
        (f'supernet_{t}' for t in range(iterations + 1)),
        training(config.supernet, len(data.train)),
    )
    phases |= dict.fromkeys((f'explore_{t}' for t in range(iterations)), pairs * search)
    phases |= {'evolve': evolve.population * evolve.generations * search}
    phases |= {'retrain': retrain, 'baseline': retrain}
    return phases | {'test': 2 * data.facts['test'] * SCORING}


def identity(task: Task) -> dict[str, Any]:
    """What a run computes: the config without what is free to change, flat, and the digests."""
    flat = {'data digest': task.data.digest}
    if task.inputs.facts:
        flat['encoder digest'] = task.inputs.facts['digest']

    def visit(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                visit(value[key], (*path, key))
        elif (path[0], None) not in FREE and path not in FREE:
            flat['.'.join(path)] = value

    visit(json.loads(json.dumps(task.config.model_dump(mode='json'))), ())
    return flat


def claim(task: Task, workdir: pathlib.Path) -> None:
    """Makes the workdir this run's: from here on files are written.

    Raises where the hand-made model is over the budget, or the folder holds another run (with the
    keys in which they differ) or other files.
    """
    excess = task.budget.excess(task.cost(task.baseline))
    if excess:
        raise UsageError(f'config.baseline is over the budget ({excess}): make it smaller')
    path, ours = workdir / 'config.json', identity(task)
    theirs = (read_json(path) or {}).get('identity')
    differing = [
        f'{name}: {theirs.get(name)!r} there, {ours.get(name)!r} here'
        for name in sorted(set(ours) | set(theirs or ours))
        if theirs and theirs.get(name) != ours.get(name)
    ]
    refusal = None
    if differing:
        refusal = (
            f'--workdir={workdir} belongs to another run ({"; ".join(differing)}): choose another '
            'folder, or the same config'
        )
    elif (
        meshes.is_first_host() and not path.exists() and workdir.exists() and any(workdir.iterdir())
    ):
        refusal = f'--workdir={workdir} holds other files and no run: choose a new folder'
    if meshes.any_host(refusal is not None):  # together: nobody writes before all have looked
        raise UsageError(
            refusal or f'--workdir={workdir} is refused by another host: see its message'
        )
    config = task.config.model_dump(mode='json')
    # what a prediction needs to know of the images, without the dataset
    stored = {
        'class_names': list(task.data.class_names),
        'storage_size': task.data.prepared.images.shape[1],
    }
    write_json(path, {'config': config, 'data': task.data.facts | stored, 'identity': ours})
    write_json(workdir / 'splits.json', task.data.splits)
