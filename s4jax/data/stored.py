"""Prepared images as they are used: pixels, facts, and whether they are still those."""

import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np

from s4jax.errors import UsageError

SPLITS = ('train', 'validation', 'test')
# label: -1 until the image is stored, and where it cannot be read; digest: of the stored pixels
ROW = np.dtype(
    [
        ('split', 'i1'),
        ('label', '<i4'),
        ('height', '<i4'),
        ('width', '<i4'),
        ('animated', '?'),
        ('blank', '?'),
        ('digest', 'V16'),
    ]
)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """uint8 images (n, height, width, channels) and their rows of facts, ROW (n,).

    An image whose label is -1 could not be read and is not used; `unreadable` says why, by name.
    `directory` is None for images that are in memory only.
    """

    class_names: tuple[str, ...]
    images: np.ndarray
    rows: np.ndarray
    digest: str
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)
    directory: pathlib.Path | None = None
    stamp: list[int] | None = None

    def check(self) -> None:
        """Raises where the stored pixels were changed since they were opened."""
        if self.directory is not None and stamp_of(self.directory) != self.stamp:
            raise UsageError(
                f'{self.directory}/images.npy was changed while it was in use: what was trained '
                'since the last finished phase is not kept; run the same command again'
            )

    def split(self, name: str) -> np.ndarray:
        """The indices of a split's readable images."""
        return np.flatnonzero(
            (self.rows['split'] == SPLITS.index(name)) & (self.rows['label'] >= 0)
        )

    def names(self) -> list[str]:
        """What the images are called, by index: for a folder, their paths below its root."""
        if self.directory is None:
            return list(map(str, range(len(self.rows))))
        return json.loads((self.directory / 'names.json').read_text())


def in_memory(class_names: tuple[str, ...], images: np.ndarray, labels: np.ndarray) -> Prepared:
    """Images uint8 (n, height, width, channels), labels (n,), all of them of the train split."""
    rows = np.zeros(len(images), ROW)
    rows['label'], rows['height'], rows['width'] = labels, *images.shape[1:3]
    rows['digest'] = [digest_of(image) for image in images]
    return Prepared(class_names, images, rows, summary(class_names, rows))


def stamp_of(directory: pathlib.Path) -> list[int]:
    """Size and time of the stored pixels: another one where they were written again."""
    return [(facts := os.stat(directory / 'images.npy')).st_size, facts.st_mtime_ns]


def compare(prepared: Prepared) -> None:
    """Raises where stored pixels are not those that were prepared."""
    rows, stored = prepared.rows, np.flatnonzero(prepared.rows['label'] >= 0)
    changed = sum(rows['digest'][i].tobytes() != digest_of(prepared.images[i]) for i in stored)
    if changed:
        raise UsageError(
            f'{prepared.directory}/images.npy is damaged: {changed:,} of {len(rows):,} images are '
            f'not those that were prepared; remove {prepared.directory}, they are prepared again'
        )


def digest_of(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def summary(class_names: tuple[str, ...], rows: np.ndarray) -> str:
    """The digest of a whole dataset: its classes, and each image's split, label and pixels."""
    digest = hashlib.blake2b(json.dumps(class_names).encode(), digest_size=16)
    for name in ('split', 'label', 'digest'):
        digest.update(rows[name].tobytes())
    return digest.hexdigest()
