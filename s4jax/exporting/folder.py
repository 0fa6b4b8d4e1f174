"""An export's folder: export.json says what lies there."""

import os
import pathlib
from typing import Any

import jax
import numpy as np

import s4jax
from s4jax.data.places import path_of
from s4jax.errors import UsageError
from s4jax.exporting.program import BATCH, Program
from s4jax.runtime.checkpoints import tree_digest
from s4jax.runtime.files import read_json

NAME = 'export.json'


def new(text: str, kind: str) -> pathlib.Path:
    """The folder to write; an earlier export in the format `kind` is written over.

    Raises UsageError where it holds anything else, or cannot be written.
    """
    path = path_of(text, '--to')
    if path.exists() and not path.is_dir():
        raise UsageError(f'--to={text} is a file; write the path of a folder')
    if path.is_dir() and any(path.iterdir()):
        if not (path / NAME).is_file():
            raise UsageError(f'--to={text} holds other files and no export: choose a new folder')
        if read(path)['format'] != kind:
            held = read(path)['format']
            raise UsageError(f'--to={text} holds an export to {held}: choose a new folder')
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'--to={text} cannot be made: {error.strerror}') from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f'--to={text}: no permission to write in this folder')
    return path


def read(directory: pathlib.Path) -> dict[str, Any]:
    """What export.json says; UsageError where it is damaged."""
    found = read_json(directory / NAME)
    if not isinstance(found, dict) or not {'format', 'config', 'architecture'} <= set(found):
        raise UsageError(f'{directory / NAME} is damaged: export again')
    return found


def about(program: Program, run: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What export.json says of a program. run: the run's config.json; settings: the flags."""
    predictor, preprocess = program.predictor, program.settings
    return {
        's4jax': s4jax.__version__,
        **settings,
        'family': run['config']['family'],
        'architecture': predictor.arch.to_json(),
        'costs': predictor.costs,
        'class_names': list(predictor.class_names),
        'input': {
            'name': 'images',
            'dtype': program.dtype.name,
            'shape': [BATCH, *program.shape],
            'axes': [BATCH, 'height', 'width', 'channels'],
        },
        'output': {'name': 'logits', 'dtype': 'float32', 'shape': [BATCH, predictor.arch.classes]},
        'preprocess': {
            'where': program.preprocess,
            'storage_size': predictor.storage_size,
            'image_size': predictor.arch.image_size,
            'channels': predictor.arch.channels,
            **preprocess.model_dump(mode='json'),
        },
        'digest': tree_digest(jax.tree.map(np.float32, program.variables)),
        'encoder digest': run['identity'].get('encoder digest'),
        'config': run['config'],
    }
