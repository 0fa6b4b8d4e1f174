"""One process at a time prepares a dataset; what the disk refuses becomes one clear line."""

import contextlib
import errno
import fcntl
import pathlib
import sys
from collections.abc import Iterator

from s4jax.errors import UsageError
from s4jax.runtime.files import disk_full

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """One process at a time; the lock ends with the process that holds it, however that ends."""
    with disk_errors(directory):
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
def disk_errors(path: pathlib.Path) -> Iterator[None]:
    """A full disk, or a path that cannot be written, as a UsageError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path) from None
        if error.errno in UNWRITABLE:
            raise UsageError(
                f'{path} cannot be written ({error.strerror}): set TFDS_DATA_DIR to a folder for '
                'prepared data'
            ) from None
        raise
