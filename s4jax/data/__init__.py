"""Images and labels: prepared once as arrays, split by the seed, batched as a pure function of (seed, step)."""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

import grain
import numpy as np

from s4jax.data import sources
from s4jax.data.prepared import Prepared, told
from s4jax.errors import UsageError
from s4jax.runtime import mesh as meshes


class TestSplitSealed(RuntimeError):
    """The test split was asked for before the last stage."""

    __test__ = False  # no test case, whatever its name says


@dataclasses.dataclass(frozen=True)
class Split:
    """Some of the prepared images: their indices (n,); pixels are read when they are asked for."""

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

    def take(self, positions: np.ndarray) -> 'Split':
        """A part of the split, by position in it."""
        return Split(self.prepared, self.indices[positions])


@dataclasses.dataclass(frozen=True)
class Data:
    """A dataset's splits: `train` trains supernets, `search` scores subnets, `everything` (both) trains a final model.

    `digest` identifies pixels, labels and splits. The test split is opened by `test` alone.
    """

    name: str
    prepared: Prepared
    train: Split
    search: Split
    _test: Split = dataclasses.field(repr=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.prepared.class_names

    @property
    def everything(self) -> Split:
        return Split(
            self.prepared, np.sort(np.concatenate([self.train.indices, self.search.indices]))
        )

    def test(self, finished: Collection[str]) -> Split:
        """The test split, once the stages before the last are finished; earlier it raises `TestSplitSealed`."""
        missing = {'retrain', 'baseline'} - set(finished)
        if missing:
            raise TestSplitSealed(
                f'the test split opens in the last stage; still to come: {", ".join(sorted(missing))}'
            )
        return self._test

    @property
    def splits(self) -> dict[str, list[int]]:
        """The prepared images' indices in every split."""
        return {
            name: split.indices.tolist()
            for name, split in (
                ('train', self.train),
                ('search', self.search),
                ('test', self._test),
            )
        }

    @functools.cached_property
    def digest(self) -> str:
        return hashlib.blake2b(
            f'{self.prepared.digest} {self.splits}'.encode(), digest_size=16
        ).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        return {
            'name': self.name,
            'classes': len(self.class_names),
            'digest': self.digest,
            'train': len(self.train),
            'search': len(self.search),
            'test': len(self._test),
            'unreadable': len(self.prepared.unreadable),
        }


def load(
    name: str,
    seed: int,
    stop: Callable[[], bool] = lambda: False,
    *,
    search: int | float = 0.1,
    test: int | float = 0.2,
    root: str = '',
    storage_size: int | None = None,
) -> Data:
    """A dataset by name, prepared where it is not yet; `stop()` ends that early with `fold.Interrupted`.

    Where it has no validation split, `search` images (a fraction if below 1) are held out of train, stratified and seeded;
    `test` likewise, where it has neither; one without a test split is tested on its validation split. `storage_size`:
    pixels of the stored images' sides, by default the dataset's own.
    """
    prepared = sources.load(name, root, storage_size, stop)
    if prepared.unreadable:
        print(
            f's4jax: {len(prepared.unreadable):,} of {len(prepared.rows):,} images cannot be read and are skipped: '
            f'{told(prepared.unreadable)}',
            file=sys.stderr,
        )
    train, search_, test_ = (prepared.split(split) for split in ('train', 'validation', 'test'))
    labels = prepared.rows['label']
    if not len(test_):  # then the validation split, if there is one, is what it is tested on
        search_, test_ = test_, search_
    if not len(test_):
        train, test_ = stratified(labels, train, test, seed, 'test')
    if not len(search_):
        train, search_ = stratified(labels, train, search, seed + 1, 'search')
    absent = np.flatnonzero(np.bincount(labels[train], minlength=len(prepared.class_names)) == 0)
    if len(absent):
        raise UsageError(
            f'the class {prepared.class_names[absent[0]]} has no training image that can be read'
        )
    return Data(name, prepared, *(Split(prepared, indices) for indices in (train, search_, test_)))


def stratified(
    labels: np.ndarray, indices: np.ndarray, count: int | float, seed: int, what: str
) -> tuple[np.ndarray, ...]:
    """(kept, held out): `count` of the indices, or that fraction of them, each class in its proportion.

    A class of a single image is kept.
    """
    from sklearn.model_selection import train_test_split

    classes, size = (
        len(np.unique(labels[indices])),
        int(count * len(indices)) if count < 1 else int(count),
    )
    if not classes <= size <= len(indices) - classes:
        raise UsageError(
            f'data.{what}={count} is {size} of {len(indices)} images: it must be between the number of classes, '
            f'{classes}, and {len(indices) - classes}'
        )
    single = np.bincount(labels[indices])[labels[indices]] == 1
    kept, held = train_test_split(
        indices[~single], test_size=size, random_state=seed, stratify=labels[indices[~single]]
    )
    return np.sort(np.concatenate([indices[single], kept])), np.sort(held)


class Batches:
    """Training batches as a pure function of the step: shuffled anew each epoch, the same for any number of hosts."""

    def __init__(self, split: Split, size: int, seed: int):
        if size > len(split):
            raise UsageError(
                f'batch_size={size} exceeds the {len(split)} training images: lower it'
            )
        if size % meshes.round_up(1):
            raise UsageError(
                f'batch_size={size} must be a multiple of the {meshes.round_up(1)} devices'
            )
        self.split, self.size = split, size
        self._order = (
            grain.MapDataset.range(len(split))
            .shuffle(seed=seed)
            .repeat()
            .batch(size, drop_remainder=True)
        )

    def __call__(self, step: int) -> dict[str, np.ndarray]:
        """This host's part of batch `step`."""
        part = self.split.take(np.asarray(self._order[step])[meshes.local_slice(self.size)])
        return {'images': part.images, 'labels': part.labels}


def in_order(split: Split, size: int) -> Iterator[dict[str, np.ndarray]]:
    """This host's parts of the batches of a whole split, the last one padded; `real` marks what is no padding."""
    size = meshes.round_up(min(size, len(split)))
    for start in range(0, len(split), size):
        indices = np.arange(start, start + size)
        part = split.take(np.minimum(indices, len(split) - 1)[meshes.local_slice(size)])
        yield {
            'images': part.images,
            'labels': part.labels,
            'real': (indices < len(split))[meshes.local_slice(size)],
        }
