"""Images and labels: prepared once as arrays, split by the seed, batched as a pure function of (seed, step)."""

import dataclasses
import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import grain
import numpy as np

from s4jax import mesh as meshes
from s4jax.data import sources
from s4jax.data.sources import Split
from s4jax.errors import UsageError


class TestSplitSealed(RuntimeError):
    """The test split was asked for before the last stage."""

    __test__ = False      # no test case, whatever its name says


@dataclasses.dataclass(frozen=True)
class Data:
    """A dataset's splits: `train` trains supernets, `search` scores subnets, `everything` (both) trains a final model.

    `digest` identifies pixels, labels and splits. The test split is opened by `test` alone.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    search: Split
    everything: Split
    digest: str
    _test: Split = dataclasses.field(repr=False)

    def test(self, finished: Collection[str]) -> Split:
        """The test split, once the stages before the last are finished; earlier it raises `TestSplitSealed`."""
        missing = {'retrain', 'baseline'} - set(finished)
        if missing:
            raise TestSplitSealed(f'the test split opens in the last stage; still to come: {", ".join(sorted(missing))}')
        return self._test

    @property
    def facts(self) -> dict[str, Any]:
        return {'name': self.name, 'classes': len(self.class_names), 'digest': self.digest, 'train': len(self.train),
                'search': len(self.search), 'test': len(self._test)}


def load(name: str, seed: int, *, search: int | float = 0.1, test: int | float = 0.2, root: str = '',
         storage_size: int = 256) -> Data:
    """A dataset by name.

    Where it has no validation split, `search` images (a fraction if below 1) are held out of train, stratified and seeded;
    `test` likewise, where it has no test split.
    """
    source = sources.load(name, root, storage_size)
    train, held = source.train, source.validation
    rest = np.arange(len(train.labels))
    tested = source.test
    if tested is None:
        rest, out = stratified(train.labels, rest, test, seed, 'test')
        tested = train.take(out)
    if held is None:
        rest, out = stratified(train.labels, rest, search, seed + 1, 'search')
        held = train.take(out)
        everything = train.take(np.sort(np.concatenate([rest, out])))
    else:
        everything = Split(np.concatenate([train.take(rest).images, held.images]),
                           np.concatenate([train.labels[rest], held.labels]))
    parts = Split(train.images[rest], train.labels[rest]), held, tested
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        for array in (part.images, part.labels):
            digest.update(np.ascontiguousarray(array).data.cast('B'))
    return Data(name, source.class_names, parts[0], held, everything, digest.hexdigest(), tested)


def stratified(labels: np.ndarray, indices: np.ndarray, count: int | float, seed: int, what: str) -> tuple[np.ndarray, ...]:
    """(kept, held out): `count` of the indices, or that fraction of them, each class in its proportion."""
    from sklearn.model_selection import train_test_split
    classes, size = len(np.unique(labels)), int(count * len(indices)) if count < 1 else int(count)
    if not classes <= size <= len(indices) - classes:
        raise UsageError(f'data.{what}={count} is {size} of {len(indices)} images: it must be between the number of classes, '
                         f'{classes}, and {len(indices) - classes}')
    kept, held = train_test_split(indices, test_size=size, random_state=seed, stratify=labels[indices])
    return np.sort(kept), np.sort(held)


class Batches:
    """Training batches as a pure function of the step: shuffled anew each epoch, the same for any number of hosts."""

    def __init__(self, split: Split, size: int, seed: int):
        if size > len(split):
            raise UsageError(f'batch_size={size} exceeds the {len(split)} training images: lower it')
        if size % meshes.round_up(1):
            raise UsageError(f'batch_size={size} must be a multiple of the {meshes.round_up(1)} devices')
        self.split, self.size = split, size
        self._order = grain.MapDataset.range(len(split)).shuffle(seed=seed).repeat().batch(size, drop_remainder=True)

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
        yield {'images': part.images, 'labels': part.labels, 'real': (indices < len(split))[meshes.local_slice(size)]}
