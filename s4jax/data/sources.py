"""Where images come from: scikit-learn's digits, a folder, datasets of TensorFlow Datasets."""

import re
import typing
import unicodedata
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import pydantic

from s4jax.data import folder, published
from s4jax.data.places import prepared_directory
from s4jax.data.prepared import UNREADABLE, prepare
from s4jax.data.stored import Prepared, in_memory
from s4jax.errors import UsageError
from s4jax.settings import Float, Int, Section, number

# Pixels of the stored images' sides where the settings leave it open: as published, others 256.
STORAGE_SIZES = {'cifar10': 32, 'cifar100': 32, 'tiny_imagenet': 64}
OTHERS = 256
# A dataset of TensorFlow Datasets: name/config:version.
NAME = re.compile(r'\w+(/[\w.=,+-]+)*(:[\d.]+)?', re.ASCII)
LONGEST_NAME = 100  # characters


def _fraction_or_count(value: float) -> float:
    """A fraction below 1 as it is, a whole number as an int."""
    if value < 1:
        return value
    if value != int(value):
        raise UsageError('write a fraction below 1 or a whole number of images')
    return int(value)


FractionOrCount = Annotated[
    Float, pydantic.AfterValidator(_fraction_or_count), pydantic.Field(gt=0, le=10**8)
]


class DataSettings(Section):
    """Which dataset, and how it is split."""

    name: str = pydantic.Field(
        description='digits, folder, cifar10, cifar100, tiny_imagenet, sun397, or any image '
        'classification dataset of TensorFlow Datasets',
        examples=['cifar10'],
    )
    root: str = pydantic.Field(
        '',
        description="the folder of images where the name is folder, else TFDS's data directory "
        '(default: TFDS_DATA_DIR or ~/tensorflow_datasets)',
        examples=['~/images'],
    )
    storage_size: Int | None = pydantic.Field(
        None,
        ge=1,
        le=4096,
        description="pixels of the stored images' sides; None: 32 for CIFAR, 64 for Tiny ImageNet, "
        '256 for others',
        examples=[256],
    )
    channels: Annotated[Literal[1, 3], pydantic.BeforeValidator(number)] | None = pydantic.Field(
        None, description='how a folder is stored: 1 grey, 3 in colour; None: in colour'
    )
    search: FractionOrCount = pydantic.Field(
        0.1,
        description='fraction or number of the training images that are held out to score subnets, '
        'where the dataset has no validation split',
        examples=[0.1, 5000],
    )
    test: FractionOrCount = pydantic.Field(
        0.2,
        description='fraction or number of the images that are held out to test, where the dataset '
        'has neither a test nor a validation split',
        examples=[0.2, 1000],
    )

    unreadable: Float = pydantic.Field(
        UNREADABLE,
        ge=0,
        le=1,
        description='largest share of the images that may be unreadable: they are skipped, and '
        'more of them end the run before it starts',
        examples=[0.05],
    )

    @pydantic.field_validator('name')
    @classmethod
    def _name_of_a_dataset(cls, value: str) -> str:
        if len(value) > LONGEST_NAME or '..' in value or not NAME.fullmatch(value):
            raise UsageError(
                'write digits, folder or the name of a dataset, such as cifar10 or '
                f'sun397/tfds:4.0.0 (letters, digits, _, at most {LONGEST_NAME} characters)'
            )
        return value

    @pydantic.field_validator('root')
    @classmethod
    def _path(cls, value: str) -> str:
        if any(unicodedata.category(character) in ('Cc', 'Cs') for character in value):
            raise UsageError('write a path without control characters')
        return value

    @pydantic.model_validator(mode='after')
    def _folder_has_a_root(self) -> typing.Self:
        if self.name == 'folder' and not self.root:
            raise UsageError(
                "root='' is missing where name='folder'; write the path of a folder with one "
                'folder of images for each class'
            )
        return self

    @property
    def size(self) -> int:
        """Pixels of the stored images' sides."""
        return self.storage_size or STORAGE_SIZES.get(self.name, OTHERS)


def load(settings: DataSettings, stop: Callable[[], bool] = lambda: False) -> Prepared:
    """The images of a dataset, prepared now if they are on the disk but not prepared yet."""
    if settings.name == 'digits':
        return digits()
    if settings.name == 'folder':
        path = folder.resolved(settings.root)
        channels = settings.channels or 3
        directory = prepared_directory('') / folder.place(path, settings.size, channels)
        items = folder.items(path)
        return prepare(directory, items, settings.size, channels, stop, settings.unreadable)
    builder = published.find(settings.name, settings.root)
    info = builder.info
    channels = 1 if info.features['image'].shape[-1] == 1 else 3
    place = f'{info.full_name.replace("/", "-")}-{settings.size}'
    directory = prepared_directory(settings.root) / place
    items = published.items(builder)
    return prepare(directory, items, settings.size, channels, stop, settings.unreadable)


def digits() -> Prepared:
    """1,797 real handwritten digits, 8×8×1, that come with scikit-learn.

    They are the test part of UCI's optical recognition of digits.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return in_memory(tuple(map(str, bunch.target_names)), images, bunch.target)
