"""Our variables under stable names: the export that lasts. `s4jax.load` reads it.

A name is the path of an array, such as params.blocks.0.attention.qkv.kernel; blocks are numbered
whether their shapes are equal or not.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from s4jax import config as configs
from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.exporting import folder
from s4jax.exporting.program import Program, Written, on_cpu
from s4jax.models import FAMILIES
from s4jax.predictor import BATCH, Predictor, parts
from s4jax.runtime import mesh as meshes
from s4jax.runtime.checkpoints import tree_digest
from s4jax.runtime.files import write_bytes
from s4jax.settings import shown

NAME = 'model.safetensors'


def write(program: Program, directory: pathlib.Path) -> list[Written]:
    """Writes the variables (an encoder's are not among them); returns how they run."""
    save(directory / NAME, flat(program.variables))
    predictor = program.predictor
    variables = jax.tree.map(np.float32, nested(tensors(directory / NAME)))
    sizes = elastic.fixed(predictor.family.sizes_of(predictor.arch))

    def logits(images: jax.Array) -> jax.Array:
        inputs = predictor.inputs.train(predictor.arch, program.encoder, images)
        return predictor.model.apply(variables, inputs, sizes)

    return [Written('s4jax', directory / NAME, on_cpu(jax.jit(logits)))]


def load(directory: str | os.PathLike[str], which: str, batch_size: int | None = None) -> Predictor:
    """An exported model; UsageError where the folder is damaged or holds another model."""
    directory = pathlib.Path(directory)
    about = folder.read(directory)
    if about['format'] != 'safetensors':
        raise UsageError(
            f'{directory} holds format={about["format"]}, which s4jax cannot load: see README.md '
            'there, or export with --format=safetensors'
        )
    if which not in (about['which'], 'winner'):
        raise UsageError(f'{directory} holds the {about["which"]}, not which={shown(which)}')
    config = configs.read(about['config'])
    inputs, arch, model = parts(config, about['architecture'])
    if (inputs.facts or {}).get('digest') != about['encoder digest']:
        raise UsageError(f'config.encoder.weights are not those that {directory} was made with')
    variables = jax.tree.map(np.float32, nested(tensors(directory / NAME)))
    if tree_digest(variables) != about['digest']:
        raise UsageError(f'{directory / NAME} is damaged or of another export: export again')
    return Predictor(
        FAMILIES[config.family],
        arch,
        model,
        meshes.replicate(meshes.create(), variables),
        inputs,
        tuple(about['class_names']),
        about['preprocess']['storage_size'],
        meshes.round_up(batch_size or min(BATCH, config.evaluate.batch_size)),
    )


def save(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(whole))


def tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; UsageError where it cannot be read."""
    import safetensors

    try:
        with safetensors.safe_open(path, 'numpy') as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(f'{path} cannot be read ({error}): export again') from None


def flat(variables: Any, path: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """{name: array} of a tree of variables."""
    if not isinstance(variables, dict | list):
        return {'.'.join(path): np.asarray(variables)}
    if path and path[-1] == 'blocks':
        variables = {str(i): block for i, block in enumerate(elastic.split_blocks(variables))}
    found: dict[str, np.ndarray] = {}
    for key, below in variables.items():
        found |= flat(below, (*path, key))
    return found


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The tree of variables of {name: array}."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *path, last = name.split('.')
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = array
    return _joined(tree)


def _joined(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    below = {key: _joined(value) for key, value in tree.items()}
    if 'blocks' in below:
        blocks = below['blocks']
        below['blocks'] = elastic.join_blocks([blocks[str(i)] for i in range(len(blocks))])
    return below
