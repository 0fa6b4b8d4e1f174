"""A job: what every stage of a run needs and none changes, checked before anything is trained."""

import dataclasses
import difflib
import functools
import inspect
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from s4jax import data as datasets
from s4jax.data import Split, augment
from s4jax.errors import UsageError
from s4jax.models import COSTS, ENCODERS, FAMILIES
from s4jax.models.clip import inputs as encoders
from s4jax.models.clip.features import Features
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import phase, read_json, write_json
from s4jax.runtime.progress import SCORING, Progress
from s4jax.runtime.signals import Signals
from s4jax.search.budget import Budget
from s4jax.search.evolve import evolve
from s4jax.search.explore import step
from s4jax.search.space import Architecture, Choices, Dimension, SearchSpace
from s4jax.training.recipe import Recipe

# what changes nothing in the results may differ when a run is resumed: cadence and paths (section, key; None: all of it)
FREE = (('checkpoint', None), ('data', 'root'), ('encoder', 'weights'), ('encoder', 'cache'))


@dataclasses.dataclass(frozen=True)
class Job:
    """The resolved config and what follows from it."""

    config: dict[str, Any]
    workdir: pathlib.Path
    signals: Signals
    mesh: jax.sharding.Mesh
    data: datasets.Data
    space: SearchSpace
    budget: Budget
    encoder: encoders.Encoder
    progress: Progress

    @classmethod
    def create(cls, config: dict[str, Any], workdir: pathlib.Path, signals: Signals) -> 'Job':
        """Checks the config and loads the data; nothing is written yet."""
        check_config(config)
        family = FAMILIES[config['family']]
        mesh, encoder, inputs = meshes.create(), encoders.Encoder(), config['model']
        if config['family'] in ENCODERS:
            encoder = encoders.create(
                mesh, config['seed'], inputs['image_size'], inputs['channels'], **config['encoder']
            )
        space = SearchSpace(
            tuple(
                encoder.bounded(Dimension(name, **values))
                for name, values in config['space'].items()
            ),
            family.stages(tuple(config['space'])),
        )
        budget = Budget.create(COSTS, **config['budget'])
        data = datasets.load(
            **config['data'], seed=config['seed'], stop=lambda: signals.received is not None
        )
        job = cls(
            config,
            workdir,
            signals,
            mesh,
            data,
            space,
            budget,
            encoder,
            Progress(workdir, plan(config, data), shown=meshes.is_first_host()),
        )
        for section, split in (('supernet', data.train), ('retrain', data.everything)):
            datasets.Batches(split, config[section]['batch_size'], job.seed)
        first = data.train.take(slice(2))
        jax.eval_shape(
            job.augment, jax.random.key(0), {'images': first.images, 'labels': first.labels}
        )
        for dimension in (
            space.dimensions
        ):  # a family may refuse a value, and then also every space that a move leads to
            for value in dimension.values:
                job.architecture(space.uniform('lower', {dimension.name: value}))
        return job

    def claim(self) -> None:
        """Makes the workdir this run's: from here on files are written."""
        excess = self.budget.excess(self.cost(self.baseline))
        if excess:
            raise UsageError(f'config.baseline is over the budget ({excess}): make it smaller')
        claim(self.workdir, self.config, self.data, self.encoder)

    def augment(self, key: jax.Array, batch: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
        """A batch's augmented images and soft targets, on the device."""
        pixels = self.config['preprocess']
        return augment.train_batch(
            key,
            batch['images'],
            batch['labels'],
            classes=len(self.data.class_names),
            image_size=self.config['model']['image_size'],
            mean=pixels['mean'],
            std=pixels['std'],
            shards=self.mesh.size,
            **self.config['augment'],
        )

    def preprocess(self, batch: dict[str, Any]) -> jax.Array:
        """A batch's images as a model, or its encoder, sees them outside training."""
        return augment.eval_batch(
            batch['images'],
            image_size=self.config['model']['image_size'],
            **self.config['preprocess'],
        )

    def inputs(self, arch: Architecture, batch: dict[str, Any]) -> Any:
        """The inputs of `Model(arch)` outside training, of a batch that `encoded` gave."""
        if self.encoder.tower is None:
            return self.preprocess(batch)
        first, *layers = batch['states']
        return (first, *layers[len(layers) - arch.depth :])

    def example(self, arch: Architecture) -> Any:
        """Zeros in the shapes of the inputs of `Model(arch)`, for one image."""
        image = jax.ShapeDtypeStruct(
            (1, arch.image_size, arch.image_size, arch.channels), np.float32
        )
        shapes = jax.eval_shape(
            functools.partial(self.encoder.encode, arch=arch), self.encoder.variables, image
        )
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    def batches(self, split: Split) -> Iterator[dict[str, Any]]:
        """A split's batches in order, on the devices, with the states of its images where there is an encoder."""
        for batch in datasets.in_order(split, self.config['evaluate']['batch_size']):
            batch = meshes.shard(self.mesh, batch)
            yield batch if self.encoder.tower is None else batch | self.encoded(batch)

    def search_batches(self, arch: Architecture) -> Iterable[dict[str, Any]]:
        """The search split's batches to be gone through for all subnets of `arch`: with an encoder, its states from disk."""
        if self.encoder.tower is None:
            return list(self.batches(self.data.search))
        size, directory = self.config['evaluate']['batch_size'], self.config['encoder'].get('cache')
        identity = {name: self.encoder.facts[name] for name in ('digest', 'dtype')} | {
            'data': self.data.digest,
            'split': 'search',
            'batch_size': size,
            'preprocess': self.config['preprocess'],
            'image_size': self.config['model']['image_size'],
        }
        return Features(
            pathlib.Path(directory).expanduser() if directory else self.workdir / 'features',
            identity,
            lambda: datasets.in_order(self.data.search, size),
            lambda batch: self.encoded(batch)['states'],
            arch.depth,
            self.mesh,
            self.progress.warn,
        )

    @functools.cached_property
    def _encode(self) -> Callable:
        def run(variables, batch):
            states, pooled = self.encoder.tower.apply(
                variables, self.preprocess(batch), self.encoder.tower.arch.layers
            )
            return {'states': states, 'pooled': pooled}

        return jax.jit(run)

    def encoded(self, batch: dict[str, Any]) -> dict[str, Any]:
        """{states, pooled} of a batch of images: all states, so that one program computes them for every depth."""
        return self._encode(self.encoder.variables, batch)

    @property
    def seed(self) -> int:
        return self.config['seed']

    @property
    def family(self) -> Any:
        return FAMILIES[self.config['family']]

    def architecture(self, choices: Choices, **inputs: Any) -> Architecture:
        return self.family.architecture(
            choices,
            classes=len(self.data.class_names),
            **self.encoder.given,
            **self.config['model'] | inputs,
        )

    def cost(self, arch: Architecture) -> dict[str, int]:
        return {name: getattr(self.family, name)(arch) for name in COSTS}

    def size(self, space: SearchSpace) -> dict[str, int]:
        """M(A) of Eq. 4: the costs of the space's largest architecture."""
        return self.cost(self.architecture(space.largest()))

    @property
    def baseline(self) -> Architecture:
        """The hand-made architecture; one value of a per-block dimension stands for every block."""
        inputs = {
            name: value
            for name, value in self.config['baseline'].items()
            if name not in self.space.names
        }
        choices = {name: self.config['baseline'][name] for name in self.space.names}
        for dimension in self.space.dimensions:
            if dimension.per_block and isinstance(choices[dimension.name], int | float):
                choices[dimension.name] = (choices[dimension.name],) * self.space.blocks(
                    dimension, choices
                )
        return self.architecture(choices, **inputs)

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of the results wants to know of the run."""
        return {
            'family': self.config['family'],
            'data': self.data.facts,
            'budget': dict(self.budget.limits),
            'seed': self.seed,
            'encoder': self.encoder.facts,
        }

    def stage(self, name: str, compute: Callable[[], Any]) -> Any:
        """The stage's JSON: read where it is finished, else computed (replayed from the seed) and written."""

        def timed():
            with self.progress.stage(name):
                return compute()

        result = phase(self.workdir / 'stages' / f'{name}.json', timed, meshes.any_host)
        self.progress.skip(name)
        return result

    def finished(self) -> set[str]:
        """The names of the finished stages."""
        return {path.stem for path in (self.workdir / 'stages').glob('*.json')}


def plan(config: dict[str, Any], data: datasets.Data) -> dict[str, float]:
    """The work of every stage, in images trained on."""

    def training(section: str, images: int) -> float:
        batch_size = config[section]['batch_size']
        return config[section]['epochs'] * images // batch_size * batch_size

    iterations, evolution = config['explore']['iterations'], config['evolve']
    pairs = 2 * config['explore']['pairs'] * len(config['space'])
    return (
        {f'supernet_{t}': training('supernet', len(data.train)) for t in range(iterations + 1)}
        | {f'explore_{t}': pairs * len(data.search) * SCORING for t in range(iterations)}
        | {
            'evolve': evolution['population']
            * evolution['generations']
            * len(data.search)
            * SCORING
        }
        | dict.fromkeys(('retrain', 'baseline'), training('retrain', len(data.everything)))
        | {'test': 2 * data.facts['test'] * SCORING}
    )


def keywords(function: Callable, *less: str) -> list[str]:
    """The names of a function's keyword-only arguments, less those that are no user's to set."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in less]


def check_config(config: dict[str, Any]) -> None:
    """Raises where a key is missing, or known to nobody (the nearest is named), or a value is out of range."""
    recipe = [field.name for field in dataclasses.fields(Recipe)]
    sections = {
        'family': None,
        'seed': None,
        'dtype': None,
        'model': None,
        'space': None,
        'baseline': None,
        'budget': COSTS,
        'data': ['name', *keywords(datasets.load)],
        'preprocess': keywords(augment.eval_batch, 'image_size'),
        'augment': keywords(augment.train_batch, 'classes', 'image_size', 'mean', 'std', 'shards'),
        'supernet': [*recipe, 'execution', 'start'],
        'explore': ['iterations', 'infeasible_start', *keywords(step, 'forced')],
        'evolve': keywords(evolve),
        'evaluate': ['batch_size', 'architectures'],
        'retrain': recipe,
        'checkpoint': ['save_every', 'log_every'],
    }
    if config.get('family') in ENCODERS:
        sections['encoder'] = keywords(encoders.create)
    check_keys('config', config, sections, required=sections)
    one_of('config.family', config['family'], tuple(FAMILIES))
    family, encoder = FAMILIES[config['family']], ENCODERS.get(config['family'])
    inputs = {field.name for field in dataclasses.fields(family.Architecture)} | set(
        keywords(family.architecture)
    )
    inputs = sorted(
        inputs - {'classes', 'depths', *family.SEARCHED, *getattr(encoder, 'GIVEN', ())}
    )
    fields = [field.name for field in dataclasses.fields(Dimension)]
    for name, known in sections.items():
        if known is not None:
            check_keys(f'config.{name}', config[name], known)
    check_keys('config.model', config['model'], inputs)
    for name, values in config['space'].items():
        one_of('config.space: the dimension', name.rstrip('_0123456789'), family.SEARCHED)
        check_keys(f'config.space.{name}', values, fields[1:])
    check_keys(
        'config.baseline', config['baseline'], [*config['space'], *inputs], required=config['space']
    )
    for name, (section, key), low in (
        ('iterations', ('explore', 'iterations'), 0),
        ('pairs', ('explore', 'pairs'), 1),
        ('batch_size', ('evaluate', 'batch_size'), 1),
        ('architectures', ('evaluate', 'architectures'), 1),
        ('save_every', ('checkpoint', 'save_every'), 1),
        ('log_every', ('checkpoint', 'log_every'), 1),
        *(
            (name, ('evolve', name), low)
            for name, low in (
                ('population', 1),
                ('generations', 1),
                ('parents', 1),
                ('mutations', 0),
                ('crossovers', 0),
                ('tries', 1),
            )
        ),
    ):
        value = config[section].get(key, low)
        if not isinstance(value, int) or value < low:
            raise UsageError(
                f'config.{section}.{name}={value!r} must be a whole number of at least {low}'
            )
    for section in ('supernet', 'retrain'):
        try:
            Recipe(**{name: value for name, value in config[section].items() if name in recipe})
        except TypeError:
            raise UsageError(f'config.{section} lacks one of epochs, batch_size, lr') from None
    one_of('config.dtype', config['dtype'], ('float32', 'bfloat16'))
    if encoder:
        if 'weights' not in config['encoder']:
            raise UsageError(
                f"config.encoder lacks weights: a folder, a file, a name on the hub or '{encoders.RANDOM}'"
            )
        one_of(
            'config.encoder.variant',
            config['encoder'].get('variant', 'ViT-B/16'),
            tuple(encoder.VARIANTS),
        )
        one_of('config.encoder.dtype', config['encoder'].get('dtype', 'float32'), encoders.DTYPES)
    one_of(
        'config.supernet.execution', config['supernet']['execution'], ('auto', 'masked', 'sliced')
    )
    one_of('config.supernet.start', config['supernet']['start'], ('scratch', 'inherit'))
    one_of('config.explore.units', config['explore']['units'], ('tau', 'raw'))
    one_of(
        'config.explore.infeasible_start',
        config['explore']['infeasible_start'],
        ('project', 'move', 'error'),
    )


def check_keys(
    where: str, values: Iterable[str], known: Iterable[str], required: Iterable[str] = ()
) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), 1)
            raise UsageError(
                f'{where}.{key} is unknown'
                + (f'; did you mean {near[0]}?' if near else f'; known: {", ".join(known)}')
            )
    missing = [key for key in required if key not in values]
    if missing:
        raise UsageError(f'{where} lacks {", ".join(missing)}')


def one_of(where: str, value: Any, known: tuple) -> None:
    if value not in known:
        raise UsageError(f'{where}={value!r} must be one of {", ".join(map(repr, known))}')


def identity(
    config: dict[str, Any], data_digest: str, encoder_digest: str | None
) -> dict[str, Any]:
    """What a run computes: the config without what is free to change, flat, with the digests of the data and the encoder."""
    flat = {'data digest': data_digest} | (
        {'encoder digest': encoder_digest} if encoder_digest else {}
    )

    def visit(value: Any, path: tuple[str, ...]):
        if isinstance(value, dict):
            for key in sorted(value):
                visit(value[key], (*path, key))
        elif (path[0], None) not in FREE and path not in FREE:
            flat['.'.join(path)] = value

    visit(json.loads(json.dumps(config)), ())
    return flat


def claim(
    workdir: pathlib.Path,
    config: dict[str, Any],
    data: datasets.Data,
    encoder: encoders.Encoder = encoders.Encoder(),
) -> None:
    """Makes the workdir this run's, or raises with the fields in which the run that it belongs to differs."""
    path, ours = workdir / 'config.json', identity(config, data.digest, encoder.facts.get('digest'))
    theirs = read_json(path)
    names = sorted(set(ours) | set(theirs['identity'])) if theirs else ()
    differing = [
        f'{name}: {theirs["identity"].get(name)!r} there, {ours.get(name)!r} here'
        for name in names
        if theirs['identity'].get(name) != ours.get(name)
    ]
    refusal = None
    if differing:
        refusal = (
            f'--workdir={workdir} belongs to another run ({"; ".join(differing)}): choose another folder, or the same '
            'config'
        )
    elif (
        meshes.is_first_host() and not path.exists() and workdir.exists() and any(workdir.iterdir())
    ):
        refusal = f'--workdir={workdir} holds other files and no run: choose a new folder'
    if meshes.any_host(refusal is not None):  # together: nobody writes before all have looked
        raise UsageError(
            refusal or f'--workdir={workdir} is refused by another host: see its message'
        )
    write_json(path, {'config': config, 'data': data.facts, 'identity': ours})
    write_json(workdir / 'splits.json', data.splits)
