"""A run: what is searched (`Task`), checked before anything is trained, and whose folder it is."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from s4jax import costs, recorded, report
from s4jax import data as datasets
from s4jax.config import Config
from s4jax.data import Split, augment
from s4jax.errors import UsageError
from s4jax.identity import kept
from s4jax.models import FAMILIES, inputs_of
from s4jax.models.inputs import Batch, Images
from s4jax.models.weights import start
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import check_folder, read_json, remove_unfinished, write_json
from s4jax.runtime.lock import LOCK, held
from s4jax.runtime.progress import Progress
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Signals
from s4jax.runtime.store import Store
from s4jax.search import derive
from s4jax.search.budget import Budget
from s4jax.search.space import Architecture, Choices, SearchSpace
from s4jax.training.step import normalises_batches
from s4jax.work import work


@dataclasses.dataclass(frozen=True)
class Task:
    """What is searched: a family's architectures, on which data, in which space and budget."""

    config: Config
    family: Any
    inputs: Images
    data: datasets.Data
    space: SearchSpace
    budget: Budget
    costs: Mapping[str, costs.Cost]

    @property
    def seed(self) -> int:
        return self.config.seed

    def architecture(self, choices: Choices, **inputs: Any) -> Architecture:
        """The architecture of a point of a space; `inputs` replace values of config.model."""
        classes = len(self.data.class_names)
        return architecture(self.config, self.inputs, choices, classes, **inputs)

    def cost(self, arch: Architecture) -> dict[str, float]:
        """{name: cost}: parameters, multiply-accumulates, and what the config asks for."""
        return {name: function(arch) for name, function in self.costs.items()}

    def size(self, space: SearchSpace) -> dict[str, float]:
        """M(A) of Eq. 4: the costs of the space's largest architecture."""
        return self.cost(self.architecture(space.largest()))

    @functools.cached_property
    def given_baseline(self) -> Architecture | None:
        """The architecture of config.baseline, where there is one and it fits the budget."""
        if self.config.baseline is None:
            return None
        arch = hand_made(self.config, self.inputs, self.space, len(self.data.class_names))
        return arch if self.budget.fits(self.cost(arch)) else None

    @functools.cached_property
    def baseline(self) -> Architecture:
        """The hand-made architecture: the one given, or one derived from the budget."""
        if self.given_baseline is not None:
            return self.given_baseline
        stock = self.family.stock(**self.inputs.given | self.config.inputs)
        return derive.hand_made(self.space, stock, self.budget, self.architecture, self.cost)

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
    given = {name: value for name, value in config.baseline or () if value is not None}
    replaced = {name: value for name, value in given.items() if name not in space.names}
    choices = {name: given[name] for name in space.names}
    for dimension in space.dimensions:
        if dimension.per_block and isinstance(choices[dimension.name], int | float):
            blocks = space.blocks(dimension, choices)
            choices[dimension.name] = (choices[dimension.name],) * blocks
    return architecture(config, inputs, choices, classes, **replaced)


def prepare(
    config: Config, workdir: pathlib.Path, signals: Signals, store: Store | None = None
) -> tuple[Task, Session]:
    """Checks the config against itself, the data and the devices; nothing is written yet."""
    check_folder(workdir)
    family, mesh = FAMILIES[config.family], meshes.create()
    for recipe in (config.supernet, config.retrain):
        recipe.check_devices(jax.device_count())
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
    progress = Progress(workdir, work(config, data), shown=meshes.is_first_host())
    known = costs.costs_of(config, family, inputs.example, workdir, progress.warn)
    task = Task(config, family, inputs, data, space, Budget.create(config.budget), known)
    check_data(task)
    if config.supernet.weights:
        widest = task.architecture(space.largest())
        start.published(config.family, config.supernet.weights, widest)
    if config.search.source:
        recorded.check(config, identity(task))
    renew = functools.partial(report.renew, workdir, progress.warn)
    return task, Session(workdir, mesh, signals, progress, renew, store)


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
    if config.baseline is not None:
        with explained('config.baseline'):
            hand_made(config, inputs, space, 2)
    in_parts = [recipe for recipe in (config.supernet, config.retrain) if recipe.microbatches > 1]
    if in_parts:
        arch = make(space.smallest())
        if normalises_batches(FAMILIES[config.family].Model(arch), inputs.example(arch)):
            raise UsageError(
                f'{in_parts[0].section}.microbatches={in_parts[0].microbatches}: a {config.family} '
                'model normalises over the whole batch (BatchNorm), which parts would change: '
                'write 1'
            )


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


def identity(task: Task) -> dict[str, Any]:
    """What a run computes: the config without what is free to change, flat, and the digests."""
    digests = {'data digest': task.data.digest}
    if task.inputs.facts:
        digests['encoder digest'] = task.inputs.facts['digest']
    if task.config.supernet.weights:
        digests['weights digest'] = start.read(task.config.supernet.weights)[1]
    if task.config.cost.file:
        digests['cost digest'] = costs.digest(task.config.cost.file)
    if task.config.search.source:
        digests['source digest'] = recorded.read(task.config.search.source).digest
    return digests | kept(task.config)


def claim(
    task: Task, workdir: pathlib.Path, measured: Mapping[str, Any] | None = None
) -> contextlib.AbstractContextManager[Any]:
    """Makes the workdir this run's: from here on files are written.

    Nobody else writes there until the returned lock is closed. `measured` is what the config was
    resolved from, kept so that a run that goes on has the same. Raises where the folder holds
    another run (with the keys in which they differ), is in use, or has other files.
    """
    lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
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
        meshes.is_first_host()
        and not path.exists()
        and workdir.exists()
        and any(other.name != LOCK for other in workdir.iterdir())
    ):
        refusal = f'--workdir={workdir} holds other files and no run: choose a new folder'
    elif meshes.is_first_host():
        try:
            lock = held(workdir)
            remove_unfinished(workdir)
        except UsageError as error:
            refusal = str(error)
    if meshes.any_host(refusal is not None):  # together: nobody writes before all have looked
        raise UsageError(
            refusal or f'--workdir={workdir} is refused by another host: see its message'
        )
    if task.config.baseline is not None and task.given_baseline is None and meshes.is_first_host():
        print(
            's4jax: config.baseline is over the budget: the hand-made model is derived instead, as '
            'with --config.baseline=None',
            file=sys.stderr,
        )
    config = task.config.model_dump(mode='json')
    # what a prediction needs to know of the images, without the dataset
    stored = {
        'class_names': list(task.data.class_names),
        'storage_size': task.data.prepared.images.shape[1],
    }
    row = {'config': config, 'data': task.data.facts | stored, 'identity': ours}
    write_json(path, row | ({'measured': measured} if measured else {}))
    write_json(workdir / 'splits.json', task.data.splits)
    costs.keep(task.costs, workdir)
    return lock
