"""Prepared images: one memory-mapped uint8 array, and a row of facts for each image.

They are made once; a preparation that was stopped or killed goes on where it was.
"""

import concurrent.futures
import contextlib
import dataclasses
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
from s4jax.data.stored import ROW, SPLITS, Prepared, compare, digest_of, stamp_of, summary
from s4jax.errors import UsageError
from s4jax.runtime.files import disk_full, read_json, write_bytes
from s4jax.runtime.signals import Interrupted

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
    stamp = stamp_of(directory)
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
        compare(result)
        with contextlib.suppress(UsageError):  # the folder may be read-only
            write_bytes(directory / 'about.json', json.dumps(about | {'stamp': stamp}).encode())
    return result


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
        reuse(directory, items.known, images, rows, digest_of)
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
    reuse(directory, items.known, images, rows, digest_of)
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
    row['digest'] = digest_of(pixels)
