"""Prepared images: one memory-mapped uint8 array, and a row of facts for each image.

They are made once; a preparation that was stopped or killed goes on where it was.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tqdm

from s4jax.data.decode import Decoded, Unreadable, decode
from s4jax.data.locks import disk_errors, locked
from s4jax.data.messages import first_few
from s4jax.data.reuse import Known, drop, put_aside, reuse, write_keys
from s4jax.errors import UsageError
from s4jax.runtime.files import disk_full, read_json, write_bytes
from s4jax.runtime.signals import Interrupted

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
CHUNK = 512  # images after which an interrupted preparation can go on
UNREADABLE = 0.01  # the share of images that may be skipped, unless the settings say another
FORMAT = 1  # of the prepared files; files of another format are prepared again

Identity = dict[str, int | str]  # what the prepared files depend on: format, size, channels, source


@dataclasses.dataclass(frozen=True)
class Items:
    """Encoded images in a fixed order, train before validation before test.

    `read(i)` gives the bytes and the label of image i, or raises OSError or Unreadable. `identity`
    changes when the images do. `counts`: images of each split. `known` is None where an image
    cannot be told from its neighbours without reading it.
    """

    class_names: tuple[str, ...]
    counts: dict[str, int]
    names: list[str]
    read: Callable[[int], tuple[bytes, int]]
    identity: str
    known: Known | None = None

    def __len__(self) -> int:
        return len(self.names)


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
        if self.directory is not None and _stamp(self.directory) != self.stamp:
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
    rows['digest'] = [_digest(image) for image in images]
    return Prepared(class_names, images, rows, summary(class_names, rows))


def prepare(
    directory: pathlib.Path,
    items: Items,
    size: int,
    channels: int,
    stop: Callable[[], bool] = lambda: False,
    unreadable: float = UNREADABLE,
) -> Prepared:
    """The items' images as prepared in `directory`, now or before.

    size: pixels of the stored images' sides. A preparation that was interrupted goes on where it
    was; a second process waits for the first. Files that did not change since an earlier one are
    not decoded again. `stop()` ends it early with `Interrupted`. Raises UsageError where more than
    the share `unreadable` of the images cannot be read, or where the disk is full.
    """
    identity: Identity = {
        'format': FORMAT,
        'size': size,
        'channels': channels,
        'source': items.identity,
    }
    about = _finished(directory, identity)  # without the lock: the folder may be read-only
    if about is None:
        with locked(directory):
            about = _finished(directory, identity) or _fill(directory, items, identity, stop)
    elif len(about['unreadable']) > unreadable * len(items):  # they may have been repaired
        with locked(directory):
            about = _fill(directory, items, identity, stop)
    _check(directory, about['unreadable'], len(items), unreadable)
    images = np.load(directory / 'images.npy', mmap_mode='r', allow_pickle=False)
    stamp = _stamp(directory)
    result = Prepared(
        tuple(about['class_names']),
        images,
        np.load(directory / 'rows.npy', allow_pickle=False),
        about['digest'],
        about['unreadable'],
        directory,
        stamp,
    )
    if about.get('stamp') != stamp:  # copied, or changed: every image is looked at, once
        _compare(result)
        with contextlib.suppress(UsageError):  # the folder may be read-only
            write_bytes(directory / 'about.json', json.dumps(about | {'stamp': stamp}).encode())
    return result


def _stamp(directory: pathlib.Path) -> list[int]:
    """Size and time of the stored pixels: another one where they were written again."""
    return [(facts := os.stat(directory / 'images.npy')).st_size, facts.st_mtime_ns]


def _compare(prepared: Prepared) -> None:
    """Raises where stored pixels are not those that were prepared."""
    rows, stored = prepared.rows, np.flatnonzero(prepared.rows['label'] >= 0)
    changed = sum(rows['digest'][i].tobytes() != _digest(prepared.images[i]) for i in stored)
    if changed:
        raise UsageError(
            f'{prepared.directory}/images.npy is damaged: {changed:,} of {len(rows):,} images are '
            f'not those that were prepared; remove {prepared.directory}, they are prepared again'
        )


def _finished(directory: pathlib.Path, identity: Identity) -> dict[str, Any] | None:
    """What about.json says, where the preparation of this identity is complete."""
    with disk_errors(directory):
        about = read_json(directory / 'about.json')
    return about if about and about['identity'] == identity else None


def _fill(
    directory: pathlib.Path, items: Items, identity: Identity, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Decodes the images that are not stored yet; returns what about.json says."""
    with disk_errors(directory):
        images, rows = _arrays(directory, items, identity)
        unreadable = _decode_all(items, images, rows, stop)
        write_bytes(directory / 'names.json', json.dumps(items.names).encode())
        listed = ''.join(f'{name}\t{reason}\n' for name, reason in unreadable.items())
        (directory / 'unreadable.txt').write_text(listed)
        about = {
            'identity': identity,
            'class_names': items.class_names,
            'digest': summary(items.class_names, rows),
            'unreadable': unreadable,
        }
        write_bytes(directory / 'about.json', json.dumps(about).encode())
    return about


def _check(directory: pathlib.Path, unreadable: dict[str, str], images: int, most: float) -> None:
    """Raises where more than the share `most` of the images cannot be read."""
    if len(unreadable) > most * images:
        share = math.ceil(100 * len(unreadable) / images) / 100
        raise UsageError(
            f'{len(unreadable):,} of {images:,} images cannot be read (at most {most:.4g} of them '
            f'are skipped): {first_few(unreadable)}; all are listed in '
            f'{directory / "unreadable.txt"}: repair or remove them, or go on without them by '
            f'data.unreadable={share}'
        )


def _arrays(
    directory: pathlib.Path, items: Items, identity: Identity
) -> tuple[np.memmap, np.memmap]:
    """The writable images and rows of a preparation, new ones or those of an interrupted one."""
    if read_json(directory / 'begun.json') == identity:
        load = lambda name: np.load(directory / f'{name}.npy', mmap_mode='r+', allow_pickle=False)
        images, rows = load('images'), load('rows')
        reuse(directory, items.known, images, rows, _digest)
        return images, rows
    put_aside(directory, identity)
    directory.mkdir()
    shape = (len(items), int(identity['size']), int(identity['size']), int(identity['channels']))
    wanted = int(np.prod(shape)) + len(items) * ROW.itemsize
    if shutil.disk_usage(directory).free < wanted:
        drop(directory)
    if shutil.disk_usage(directory).free < wanted:
        raise disk_full(directory, wanted)
    images = _allocated(directory / 'images.npy', np.dtype(np.uint8), shape)
    rows = _allocated(directory / 'rows.npy', ROW, (len(items),))
    rows['label'] = -1
    splits = [SPLITS.index(name) for name in items.counts]
    rows['split'] = np.repeat(splits, list(items.counts.values()))
    rows.flush()
    # on every host: each may have a disk of its own
    write_keys(directory, items.known)
    write_bytes(directory / 'begun.json', json.dumps(identity).encode())
    reuse(directory, items.known, images, rows, _digest)
    return images, rows


def _allocated(path: pathlib.Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """A new memory-mapped array whose space on the disk is taken at once.

    A page that found no space when it is written would kill the process.
    """
    array = np.lib.format.open_memmap(path, 'w+', dtype, shape)
    with open(path, 'r+b') as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


def _decode_all(
    items: Items, images: np.memmap, rows: np.memmap, stop: Callable[[], bool]
) -> dict[str, str]:
    """Fills the rows that have no label yet; returns why some could not be read, by name."""
    missing = np.flatnonzero(rows['label'] < 0)
    unreadable: dict[str, str] = {}
    size, channels = images.shape[2:]

    def read(i: int) -> tuple[Decoded, int] | str:
        """The decoded image and its label, or why it cannot be read."""
        try:
            data, label = items.read(i)
            return decode(data, size, channels), label
        except Unreadable as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        _progress(len(items), len(items) - len(missing)) as bar,
    ):
        for start in range(0, len(missing), CHUNK):
            if stop():
                raise Interrupted
            chunk = missing[start : start + CHUNK]
            new = rows[chunk]
            for row, i, result in zip(new, chunk, pool.map(read, chunk)):
                if isinstance(result, str):
                    unreadable[items.names[i]] = result
                    continue
                decoded, label = result
                images[i] = decoded.pixels
                _describe(row, decoded, label)
                bar.update()
            images.flush()
            rows[chunk] = new  # only now, when their pixels are on the disk
            rows.flush()
    return unreadable


def _progress(total: int, done: int) -> tqdm.tqdm:
    return tqdm.tqdm(
        total=total, initial=done, desc='preparing', unit='img', mininterval=1, file=sys.stderr
    )


def _describe(row: np.void, decoded: Decoded, label: int) -> None:
    """Writes the facts of a decoded image into its row."""
    pixels = decoded.pixels
    row['label'], row['height'], row['width'] = label, decoded.height, decoded.width
    row['animated'] = decoded.animated
    row['blank'] = np.ptp(pixels.reshape(-1, pixels.shape[-1]), 0).max() == 0
    row['digest'] = _digest(pixels)


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def summary(class_names: tuple[str, ...], rows: np.ndarray) -> str:
    """The digest of a whole dataset: its classes, and each image's split, label and pixels."""
    digest = hashlib.blake2b(json.dumps(class_names).encode(), digest_size=16)
    for name in ('split', 'label', 'digest'):
        digest.update(rows[name].tobytes())
    return digest.hexdigest()
