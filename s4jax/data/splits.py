"""A dataset's splits: train, search and test, held out by the seed where the dataset has none."""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from s4jax.data import sources
from s4jax.data.messages import first_few
from s4jax.data.sources import DataSettings
from s4jax.data.stored import Prepared
from s4jax.errors import UsageError


class TestSplitSealed(RuntimeError):
    """The test split was asked for before the last phase."""

    __test__ = False  # pytest would take the class for a test case by its name


@dataclasses.dataclass(frozen=True)
class Split:
    """Some of the prepared images: their indices (n,). Pixels are read when they are asked for."""

    prepared: Prepared
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> np.ndarray:
        """int32 (n,)."""
        return self.prepared.rows['label'][self.indices]

    @property
    def images(self) -> np.ndarray:
        """uint8 (n, height, width, channels), all of them in memory: `take` a few."""
        return self.prepared.images[self.indices]

    def take(self, positions: np.ndarray | slice) -> 'Split':
        """A part of the split, by position in it."""
        return Split(self.prepared, self.indices[positions])


@dataclasses.dataclass(frozen=True)
class Data:
    """A dataset's splits.

    `train` trains supernets, `search` scores subnets, `everything` (both) trains a final model.
    The test split is opened by `test` alone. `digest` identifies pixels, labels and splits.
    """

    name: str
    prepared: Prepared
    train: Split
    search: Split
    _test: Split = dataclasses.field(repr=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        """By label."""
        return self.prepared.class_names

    @property
    def everything(self) -> Split:
        """The train and the search split together."""
        indices = np.concatenate([self.train.indices, self.search.indices])
        return Split(self.prepared, np.sort(indices))

    def test(self, finished: Collection[str]) -> Split:
        """The test split, once the phases before the last are finished; else `TestSplitSealed`."""
        missing = {'retrain', 'baseline'} - set(finished)
        if missing:
            raise TestSplitSealed(
                'the test split opens in the last phase; still to come: '
                f'{", ".join(sorted(missing))}'
            )
        return self._test

    @property
    def splits(self) -> dict[str, list[int]]:
        """The prepared images' indices in every split."""
        splits = {'train': self.train, 'search': self.search, 'test': self._test}
        return {name: split.indices.tolist() for name, split in splits.items()}

    @functools.cached_property
    def digest(self) -> str:
        """Of pixels, labels and splits."""
        text = f'{self.prepared.digest} {self.splits}'
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """What a run records of its data."""
        return {
            'name': self.name,
            'classes': len(self.class_names),
            'digest': self.digest,
            'train': len(self.train),
            'search': len(self.search),
            'test': len(self._test),
            'unreadable': len(self.prepared.unreadable),
        }


def load(settings: DataSettings, seed: int, stop: Callable[[], bool] = lambda: False) -> Data:
    """A dataset, prepared where it is not yet; `stop()` ends that early with `Interrupted`.

    Where it has no validation split, a search split is held out of train, stratified and seeded;
    likewise a test split, where it has neither. Without a test split, the validation split is the
    test split.
    """
    prepared = sources.load(settings, stop)
    if prepared.unreadable:
        print(
            f's4jax: {len(prepared.unreadable):,} of {len(prepared.rows):,} images cannot be read '
            f'and are skipped: {first_few(prepared.unreadable)}',
            file=sys.stderr,
        )
    return divide(prepared, settings, seed)


def divide(prepared: Prepared, settings: DataSettings, seed: int) -> Data:
    """The splits of prepared images, as `load` gives them; UsageError where there are too few."""
    if not np.any(prepared.rows['label'] >= 0):
        raise UsageError('no image can be read')
    train, search, test = (prepared.split(split) for split in ('train', 'validation', 'test'))
    labels = prepared.rows['label']
    if not len(test):
        search, test = test, search
    if not len(test):
        train, test = stratified(labels, train, settings.test, seed, 'test')
    if not len(search):
        train, search = stratified(labels, train, settings.search, seed + 1, 'search')
    absent = np.flatnonzero(np.bincount(labels[train], minlength=len(prepared.class_names)) == 0)
    if len(absent):
        name = prepared.class_names[absent[0]]
        raise UsageError(f'the class {name} has no training image that can be read')
    return _data(settings.name, prepared, train, search, test)


def undivided(prepared: Prepared, settings: DataSettings) -> Data:
    """The splits that the dataset has by itself, whatever is in them: to look at, not to train."""
    parts = (prepared.split(split) for split in ('train', 'validation', 'test'))
    return _data(settings.name, prepared, *parts)


def _data(name: str, prepared: Prepared, *parts: np.ndarray) -> Data:
    return Data(name, prepared, *(Split(prepared, indices) for indices in parts))


def stratified(
    labels: np.ndarray, indices: np.ndarray, count: int | float, seed: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """(kept, held out): `count` of the indices (n,), or that fraction of them where it is below 1.

    labels (images,) of all images, not of the indices alone. Each class is held out in its
    proportion; a class of a single image is kept. what: the key of `count`, for the error.
    """
    from sklearn.model_selection import train_test_split

    own = labels[indices]
    classes = len(np.unique(own))
    size = int(count * len(indices)) if count < 1 else int(count)
    if not classes <= size <= len(indices) - classes:
        raise UsageError(
            f'data.{what}={count} is {size} of {len(indices)} images: it must be between the '
            f'number of classes, {classes}, and {len(indices) - classes}'
        )
    single = np.bincount(own)[own] == 1
    kept, held = train_test_split(
        indices[~single], test_size=size, random_state=seed, stratify=own[~single]
    )
    return np.sort(np.concatenate([indices[single], kept])), np.sort(held)
