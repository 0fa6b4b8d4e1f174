"""Prepared images: one memory-mapped uint8 array with a row of facts for each image, made once, whatever interrupts it."""

import concurrent.futures
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

from s4jax.data.decode import Decoded, Unreadable, decode
from s4jax.errors import UsageError
from s4jax.runtime.files import disk_full, read_json, write_bytes
from s4jax.runtime.signals import Interrupted

SPLITS = ('train', 'validation', 'test')
# label: -1 until the image is stored, and for one that cannot be read; digest: of the stored pixels
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
CHUNK = 512  # images between two moments from which an interrupted preparation goes on
UNREADABLE = 0.01  # the share of images that may be skipped
FORMAT = 1  # of the prepared files: another one is prepared anew


@dataclasses.dataclass(frozen=True)
class Items:
    """Encoded images in a fixed order, train before validation before test.

    `read(i)` gives the bytes and the label of image i and raises OSError or Unreadable; `identity` changes when they do.
    """

    class_names: tuple[str, ...]
    counts: dict[str, int]
    names: list[str]
    read: Callable[[int], tuple[bytes, int]]
    identity: str

    def __len__(self) -> int:
        return len(self.names)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """uint8 images (n, height, width, channels) and their rows of facts (n,); images without a label are not to be used.

    `unreadable` says by name why an image could not be read; `directory` is None for what lives in memory.
    """

    class_names: tuple[str, ...]
    images: np.ndarray
    rows: np.ndarray
    digest: str
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)
    directory: pathlib.Path | None = None

    def split(self, name: str) -> np.ndarray:
        """The indices of a split's readable images."""
        return np.flatnonzero(
            (self.rows['split'] == SPLITS.index(name)) & (self.rows['label'] >= 0)
        )

    def names(self) -> list[str]:
        """What the images are called, by index: paths below the root of a folder."""
        return (
            json.loads((self.directory / 'names.json').read_text())
            if self.directory
            else list(map(str, range(len(self.rows))))
        )


def in_memory(class_names: tuple[str, ...], images: np.ndarray, labels: np.ndarray) -> Prepared:
    """Images (n, height, width, channels) that need no preparation, all of them in one split."""
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
) -> Prepared:
    """The items' images as prepared in `directory`, now or before.

    A preparation that was cut off goes on where it was; a second process waits for the first. `stop()` ends it early with
    `fold.Interrupted`. Raises UsageError where more than 1% of the images cannot be read, or there is no room.
    """
    identity = {'format': FORMAT, 'size': size, 'channels': channels, 'source': items.identity}
    about = _finished(
        directory, identity
    )  # first without the lock: the folder may be there to be read only
    if about is None:
        with locked(directory):
            about = _finished(directory, identity) or _fill(directory, items, identity, stop)
    images = np.load(directory / 'images.npy', mmap_mode='r')
    return Prepared(
        tuple(about['class_names']),
        images,
        np.load(directory / 'rows.npy'),
        about['digest'],
        about['unreadable'],
        directory,
    )


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """One process at a time; the lock ends with the process that holds it, however that ends."""
    with _disk_errors(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        file = open(directory.with_name(f'{directory.name}.lock'), 'w')
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f's4jax: another process prepares {directory}; waiting for it', file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _disk_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(path) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            raise UsageError(
                f'{path} cannot be written ({error.strerror}): set TFDS_DATA_DIR to a folder for prepared data'
            ) from None
        raise


def _finished(directory: pathlib.Path, identity: dict) -> dict | None:
    about = read_json(directory / 'about.json')
    return about if about and about['identity'] == identity else None


def _fill(directory: pathlib.Path, items: Items, identity: dict, stop: Callable[[], bool]) -> dict:
    """Decodes what is still to be decoded and returns what about.json says."""
    with _disk_errors(directory):
        images, rows = _arrays(directory, items, identity)
        unreadable = _decode_all(items, images, rows, stop)
        write_bytes(directory / 'names.json', json.dumps(items.names).encode())
        listed = ''.join(f'{name}\t{reason}\n' for name, reason in unreadable.items())
        (directory / 'unreadable.txt').write_text(listed)
        if len(unreadable) > UNREADABLE * len(items):
            raise UsageError(
                f'{len(unreadable):,} of {len(items):,} images cannot be read (at most {UNREADABLE:.0%} are skipped): '
                f'{told(unreadable)}; all are listed in {directory / "unreadable.txt"}: mend or remove them'
            )
        about = {
            'identity': identity,
            'class_names': items.class_names,
            'digest': summary(items.class_names, rows),
            'unreadable': unreadable,
        }
        write_bytes(directory / 'about.json', json.dumps(about).encode())
    return about


def _arrays(directory: pathlib.Path, items: Items, identity: dict) -> tuple[np.ndarray, np.ndarray]:
    """The writable arrays of a preparation, begun or to be gone on with. The disk's space is taken at once."""
    if read_json(directory / 'begun.json') == identity:
        return tuple(
            np.load(directory / f'{name}.npy', mmap_mode='r+') for name in ('images', 'rows')
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    shape = (len(items), identity['size'], identity['size'], identity['channels'])
    wanted = int(np.prod(shape)) + len(items) * ROW.itemsize
    if shutil.disk_usage(directory).free < wanted:
        raise disk_full(directory, wanted)
    images = np.lib.format.open_memmap(directory / 'images.npy', 'w+', np.uint8, shape)
    rows = np.lib.format.open_memmap(directory / 'rows.npy', 'w+', ROW, (len(items),))
    for name in (
        'images',
        'rows',
    ):  # a page that finds no room when it is written would kill the process
        with open(directory / f'{name}.npy', 'r+b') as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    rows['label'] = -1
    rows['split'] = np.repeat(
        [SPLITS.index(name) for name in items.counts], list(items.counts.values())
    )
    rows.flush()
    # on every host: each may have a disk of its own
    write_bytes(directory / 'begun.json', json.dumps(identity).encode())
    return images, rows


def _decode_all(
    items: Items, images: np.ndarray, rows: np.ndarray, stop: Callable[[], bool]
) -> dict[str, str]:
    """Fills the rows that have no label yet; returns why some could not be, by name."""
    todo, unreadable = np.flatnonzero(rows['label'] < 0), {}

    def one(i: int) -> tuple[Decoded, int] | str:
        try:
            data, label = items.read(i)
            return decode(data, *images.shape[2:]), label
        except Unreadable as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(
            total=len(items),
            initial=len(items) - len(todo),
            desc='preparing',
            unit='img',
            mininterval=1,
            file=sys.stderr,
        ) as bar,
    ):
        for start in range(0, len(todo), CHUNK):
            if stop():
                raise Interrupted
            chunk = todo[start : start + CHUNK]
            new = rows[chunk]
            for row, i, result in zip(new, chunk, pool.map(one, chunk)):
                if isinstance(result, str):
                    unreadable[items.names[i]] = result
                    continue
                decoded, label = result
                images[i] = decoded.pixels
                row['label'], row['height'], row['width'], row['animated'] = (
                    label,
                    decoded.height,
                    decoded.width,
                    decoded.animated,
                )
                row['blank'], row['digest'] = (
                    np.ptp(decoded.pixels.reshape(-1, images.shape[-1]), 0).max() == 0,
                    _digest(decoded.pixels),
                )
                bar.update()
            images.flush()
            rows[chunk] = new  # only now do they count: their pixels are on the disk
            rows.flush()
    return unreadable


def told(unreadable: dict[str, str], most: int = 3) -> str:
    """The first few with their reasons, in one line."""
    few = '; '.join(f'{name} ({reason})' for name, reason in list(unreadable.items())[:most])
    return few + (f' and {len(unreadable) - most:,} more' if len(unreadable) > most else '')


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def summary(class_names: tuple[str, ...], rows: np.ndarray) -> str:
    """The digest of a whole dataset: its classes, and every image's split, label and pixels in order."""
    digest = hashlib.blake2b(json.dumps(class_names).encode(), digest_size=16)
    for name in ('split', 'label', 'digest'):
        digest.update(rows[name].tobytes())
    return digest.hexdigest()
