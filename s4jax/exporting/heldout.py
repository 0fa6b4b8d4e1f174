"""The images on which an export is compared: of the run's test split, or of a folder."""

import pathlib

import numpy as np

from s4jax import config as configs
from s4jax import data as datasets
from s4jax.data.decode import SUFFIXES, Unreadable
from s4jax.data.places import existing_directory
from s4jax.errors import UsageError
from s4jax.predictor import Predictor, read

ADVICE = 'write --folder=FOLDER to compare on images of your own'


def of_the_run(workdir: pathlib.Path, phase: str, count: int) -> np.ndarray:
    """Up to `count` stored images uint8 (n, H, W, C), spread evenly over the test split."""
    known, _ = read(workdir, phase)
    config = configs.read(known['config'])
    try:
        data = datasets.load(config.data, config.seed)
    except UsageError as error:
        raise UsageError(f'{error}; {ADVICE}') from None
    if data.digest != known['data']['digest']:
        raise UsageError(f"the dataset's images are not those of {workdir} any more; {ADVICE}")
    split = data.test(('retrain', 'baseline'))  # the run is finished
    return split.take(_spread(len(split), count)).images


def of_a_folder(name: str, predictor: Predictor, count: int) -> np.ndarray:
    """Up to `count` images of a folder at any depth, spread evenly, as the run would store them."""
    found = existing_directory(name, '--folder').rglob('*')
    paths = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UsageError(f'--folder={name} holds no image ({", ".join(SUFFIXES)})')
    images = []
    for position in _spread(len(paths), count):
        try:
            images.append(predictor.stored(paths[position]))
        except (Unreadable, OSError) as error:
            raise UsageError(f'{paths[position]} cannot be read: {error}') from None
    return np.stack(images)


def _spread(length: int, count: int) -> np.ndarray:
    return np.linspace(0, length - 1, min(length, count)).astype(int)
