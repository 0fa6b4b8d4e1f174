"""A final model of a finished run, ready to predict: `s4jax.load('runs/mine')`."""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageOps

from s4jax import config as configs
from s4jax import elastic
from s4jax.config import Config
from s4jax.data import augment, decode
from s4jax.data.decode import Unreadable
from s4jax.data.places import existing_directory
from s4jax.errors import UsageError
from s4jax.models import COSTS, FAMILIES, inputs_of
from s4jax.models.inputs import Images
from s4jax.runtime import mesh as meshes
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import Checkpoints, tree_digest
from s4jax.runtime.files import read_json
from s4jax.search.space import Architecture
from s4jax.settings import near, shown
from s4jax.training.step import initial_state
from s4jax.training.trained import Record

PHASES = {'winner': 'retrain', 'baseline': 'baseline'}  # where each model was trained
BATCH = 64  # images in a batch; one image takes as long as a whole batch


@dataclasses.dataclass(frozen=True)
class Prediction:
    """An image's likeliest classes, the likeliest first: labels, names, probabilities."""

    labels: tuple[int, ...]
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A trained model with all that turns images into classes.

    `variables` are {params, batch_stats}, replicated over the devices; `inputs` gives the model's
    inputs; `storage_size` is the side in pixels at which the run kept its images. Every batch is
    padded to `batch_size` images, so that one compiled program serves all.
    """

    family: Any
    arch: Any
    model: Any
    variables: dict[str, Any]
    inputs: Images
    class_names: tuple[str, ...]
    storage_size: int
    batch_size: int

    @property
    def costs(self) -> dict[str, int]:
        """{params, macs} of the model, exact; without a frozen encoder."""
        return {name: getattr(self.family, name)(self.arch) for name in COSTS}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a stored image."""
        return self.storage_size, self.storage_size, self.arch.channels

    def predict(self, images: Any, top: int = 5) -> list[Prediction]:
        """The `top` likeliest classes of every image; `images` as for `logits`."""
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            raise UsageError(f'top={shown(top)} must be a whole number of at least 1')
        logits = self.logits(images).astype(np.float64)
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        probabilities = odds / odds.sum(-1, keepdims=True)
        # equal ones in the order of their labels, as argmax takes them
        order = np.argsort(-logits, -1, kind='stable')[:, :top]
        return [
            Prediction(
                tuple(row.tolist()),
                tuple(self.class_names[label] for label in row),
                tuple(probabilities[i, row].tolist()),
            )
            for i, row in enumerate(order)
        ]

    def logits(self, images: Any) -> np.ndarray:
        """float32 (N, classes), in the order of the images.

        images: uint8 (N, H, W, C), or a list of paths, PIL images and uint8 arrays (H, W, C), or
        a single path or PIL image. Raises UsageError for an image that cannot be read.
        """
        if isinstance(images, str | os.PathLike | Image.Image):
            images = [images]
        parts = [self._run(stored) for stored in self._stored(images)]
        return np.concatenate([np.zeros((0, len(self.class_names)), np.float32), *parts])

    def encode(self, images: Any) -> Any:
        """The model's inputs of stored images uint8 (N, *shape): normalised, or encoded."""
        return self.inputs.evaluate(self.arch, self.inputs.stored({'images': images}))

    def apply(self, variables: Any, inputs: Any) -> jax.Array:
        """Logits (N, classes) of `encode(images)`; a pure function, for jit and grad."""
        return self.model.apply(variables, inputs, elastic.fixed(self.family.sizes_of(self.arch)))

    def stored(self, image: Any) -> np.ndarray:
        """One image as the run stored its own: uint8 (*shape).

        image: a path, a PIL image or uint8 (H, W, C). Raises Unreadable, and OSError for a file.
        """
        size, _, channels = self.shape
        if isinstance(image, str | os.PathLike):
            data = decode.read(pathlib.Path(image).expanduser())
            return decode.decode(data, size, channels).pixels
        if not isinstance(image, Image.Image):
            array = np.asarray(image)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] not in (1, 3, 4):
                raise UsageError(
                    f'an image is {array.dtype} {array.shape}; write a path, a PIL image, or uint8 '
                    '(height, width, channels) with 1, 3 or 4 channels'
                )
            if array.shape == self.shape:
                return array
            if not array.size:
                raise Unreadable('it has no pixels')
            image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
        try:
            return decode.stored(ImageOps.exif_transpose(image), size, channels)
        except Exception as error:  # Pillow reads a file only now, and raises almost anything
            raise Unreadable(f'{type(error).__name__}: {error}'.splitlines()[0]) from None

    def _stored(self, images: Sequence[Any]) -> Iterator[np.ndarray]:
        """Batches of at most `batch_size` stored images."""

        def read(i: int) -> np.ndarray:
            try:
                return self.stored(images[i])
            except (Unreadable, OSError) as error:
                named = isinstance(images[i], str | os.PathLike)
                raise UsageError(
                    f'{images[i] if named else f"image {i}"} cannot be read: {reason(error)}'
                ) from None

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(images), self.batch_size):
                positions = range(start, min(start + self.batch_size, len(images)))
                yield np.stack(list(pool.map(read, positions)))

    def _run(self, stored: np.ndarray) -> np.ndarray:
        """Logits of at most `batch_size` stored images."""
        padding = [(0, self.batch_size - len(stored)), (0, 0), (0, 0), (0, 0)]
        batch = meshes.shard(self._mesh, {'images': np.pad(stored, padding)})
        found = self._compiled(self.variables, self.inputs.stored(batch))
        return np.asarray(found, np.float32)[: len(stored)]

    @functools.cached_property
    def _mesh(self) -> jax.sharding.Mesh:
        return meshes.create()

    @functools.cached_property
    def _compiled(self) -> Any:
        def run(variables: Any, batch: Any) -> jax.Array:
            return self.apply(variables, self.inputs.evaluate(self.arch, batch))

        return jax.jit(run, out_shardings=meshes.replicated(self._mesh))


def reason(error: Exception) -> str:
    """Why a file cannot be read, in words."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def load(
    run: str | os.PathLike[str], which: str = 'winner', batch_size: int | None = None
) -> Predictor:
    """The winner of a finished run, or its hand-made model (`which='baseline'`).

    batch_size: images that run at once; None: as in the run, at most 64. Raises UsageError where
    the folder holds no finished run, or its checkpoint is damaged.
    """
    if which not in PHASES:
        raise UsageError(f'which={shown(which)} is unknown{near(str(which), list(PHASES))}')
    workdir = existing_directory(os.fspath(run), 'run')
    known, record = read(workdir, PHASES[which])
    config, data = configs.read(known['config']), known['data']
    if batch_size is None:
        batch_size = min(BATCH, config.evaluate.batch_size)
    if batch_size < 1:
        raise UsageError(f'batch_size={batch_size} must be at least 1')
    inputs, arch, model = parts(config, record.architecture)
    if (inputs.facts or {}).get('digest') != known['identity'].get('encoder digest'):
        raise UsageError(f'config.encoder.weights are not those that {workdir} was made with')
    path = workdir / 'checkpoints' / PHASES[which]
    like = state_like(config, inputs, arch, model, data['train'] + data['search'])
    return Predictor(
        FAMILIES[config.family],
        arch,
        model,
        verified(path, like, record.digest, meshes.create()),
        inputs,
        tuple(data['class_names']),
        data['storage_size'],
        meshes.round_up(batch_size),
    )


def parts(config: Config, row: dict[str, Any]) -> tuple[Images, Any, Any]:
    """(inputs, architecture, model) of a run's config and an architecture's row of JSON."""
    mesh, family = meshes.create(), FAMILIES[config.family]
    preprocess = functools.partial(
        augment.eval_batch, image_size=config.inputs['image_size'], preprocess=config.preprocess
    )
    inputs = inputs_of(family).create(config.encoder, config.inputs, preprocess, mesh, config.seed)
    arch = family.Architecture.from_json(row)
    return inputs, arch, family.Model(arch, jax.numpy.dtype(config.dtype), config.retrain.drop_path)


def read(workdir: pathlib.Path, phase: str) -> tuple[dict[str, Any], Record]:
    """What config.json holds, and the record of a phase; UsageError where a run is not finished."""

    def row(name: str) -> Any:
        try:
            return read_json(workdir / name)
        except OSError as error:
            raise UsageError(f'{workdir / name} cannot be read: {error.strerror}') from None

    known, record = row('config.json'), row(f'phases/{phase}.json')
    if not isinstance(known, dict) or not {'config', 'data', 'identity'} <= set(known):
        raise UsageError(f'{workdir} holds no run: config.json is missing or damaged')
    if row('result.json') is None or record is None:
        raise UsageError(
            f'the run in {workdir} is not finished: go on with the command that began it'
        )
    if not {'class_names', 'storage_size'} <= set(known['data']):
        raise UsageError(
            f'{workdir} names no classes, as a run of an earlier version: give the command that '
            'made it once more, which adds them and computes nothing again'
        )
    return known, Record.from_json(record)


def state_like(
    config: Config, inputs: Images, arch: Architecture, model: Any, images: int
) -> dict[str, Any]:
    """Shapes and types of the state that a phase saved, which trained on so many images."""
    tx = config.retrain.optimizer(images, FAMILIES[config.family].decays)
    create = functools.partial(initial_state, model, inputs.example(arch), tx)
    with jax.disable_jit():  # its options of compiling are refused within another trace
        return jax.eval_shape(create, seeds.key(0))


def verified(
    path: pathlib.Path, like: dict[str, Any], digest: str, mesh: jax.sharding.Mesh
) -> dict[str, Any]:
    """The variables in a phase's newest checkpoint; UsageError where they are not its result.

    Nothing is changed or deleted.
    """
    phase = path.parents[1] / 'phases' / f'{path.name}.json'
    again = f'to train the rest again, remove {phase} and give the command that made the run'

    def refuse(warning: str) -> None:  # called before a damaged checkpoint would be deleted
        raise UsageError(f'{warning.partition(";")[0]}; {again}')

    if not path.is_dir() or not any(path.iterdir()):
        raise UsageError(f'{path} holds no checkpoint; {again}')
    sharding = meshes.replicated(mesh)
    place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    found = Checkpoints(path, refuse).latest(jax.tree.map(place, like))
    state: dict[str, Any] = found[1] if found else {}
    variables = {part: state[part] for part in ('params', 'batch_stats') if state.get(part)}
    if tree_digest(variables) != digest:
        raise UsageError(f'the newest checkpoint in {path} is not the result of its phase; {again}')
    return variables
