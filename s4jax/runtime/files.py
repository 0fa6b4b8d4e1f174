"""Files that survive a kill: written whole or not at all; one line where the disk refuses."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import jax

from s4jax.errors import UsageError


def disk_full(path: pathlib.Path, wanted: int = 0) -> UsageError:
    free = shutil.disk_usage(_existing(path)).free / 2**20
    need = f' of {wanted / 2**20:,.0f} needed' if wanted else ''
    return UsageError(
        f'the disk is full: {path} could not be written ({free:,.0f} MiB free{need}); nothing that '
        'was saved before is lost: free some space and run the same command again'
    )


@contextlib.contextmanager
def disk_errors(path: pathlib.Path) -> Iterator[None]:
    """A full disk or a forbidden path as one line. Orbax wraps the error: its causes count, too."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, jax.errors.JaxRuntimeError):
            text = str(cause)
            if (
                getattr(cause, 'errno', None) in (errno.ENOSPC, errno.EDQUOT)
                or 'No space left' in text
                or 'RESOURCE_EXHAUSTED' in text
                or 'quota' in text.lower()
            ):
                raise disk_full(path) from error
            if isinstance(cause, PermissionError) or getattr(cause, 'errno', 0) == errno.EROFS:
                raise UsageError(
                    f'no permission to write {path}: choose another --workdir'
                ) from error
            cause = cause.__cause__ or cause.__context__
        raise


def check_folder(path: pathlib.Path) -> None:
    """Raises where no folder of that name can be written; creates nothing."""
    if '\0' in str(path):
        raise UsageError('--workdir has a null character, which no folder may have')
    if re.match(r'\w+:/', str(path)):  # pathlib makes one slash of the two
        raise UsageError(
            f'--workdir={path} is a bucket: mount it (gcsfuse, s3fs) and name the mounted folder'
        )
    try:
        existing = _existing(path)
    except (OSError, ValueError) as error:  # too long, a null character
        reason = getattr(error, 'strerror', None) or error
        raise UsageError(f'--workdir={path} cannot be a folder: {reason}') from None
    if not existing.is_dir():
        raise UsageError(f'--workdir={path}: {existing} is a file; name another folder')
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f'--workdir={path}: no permission to write in {existing}')


def _existing(path: pathlib.Path) -> pathlib.Path:
    return path if path.exists() else _existing(path.parent)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes the whole file or nothing."""
    write_text(path, json.dumps(value, indent=1) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
    if jax.process_index() == 0:  # the hosts of a run share its directory: the first one writes
        write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, *pieces: bytes | memoryview) -> None:
    """Writes the whole file or nothing, on this host."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
        try:
            with open(temporary, 'wb') as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what a killed process had begun to write in a folder that nobody else uses."""
    for path in sorted(folder.rglob('.*.tmp')):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_json(path: pathlib.Path) -> Any | None:
    """The file's value, or None where it is missing or damaged: its phase is computed again."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def read_lines(path: pathlib.Path) -> Iterator[dict]:
    """The rows of a file of JSON lines, if it is there, up to the first that is damaged."""
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            return
        if not line.endswith('\n'):
            return
        yield row


class Lines:
    """A file of JSON lines that only grows.

    A line that a kill cut off is dropped when the file is opened again.
    """

    def __init__(self, path: pathlib.Path, keep: Callable[[dict], bool] = lambda row: True):
        """Opens `path` with the rows for which `keep` holds, up to the first that is damaged."""
        self.path, self.rows = path, [row for row in read_lines(path) if keep(row)]
        write_text(path, ''.join(json.dumps(row) + '\n' for row in self.rows))

    def append(self, *rows: dict) -> None:
        self.rows += rows
        if jax.process_index() == 0:
            with disk_errors(self.path), open(self.path, 'a') as file:
                file.write(''.join(json.dumps(row) + '\n' for row in rows))


def phase(
    path: pathlib.Path, compute: Callable[[], Any], any_host: Callable[[bool], bool] = bool
) -> Any:
    """The JSON that `compute` returned the first time: a finished phase is read, not computed.

    `any_host` makes the hosts agree: a phase that one of them cannot read is computed by all.
    """
    done = read_json(path)
    if any_host(done is None):
        done = json.loads(json.dumps(compute()))
        write_json(path, done)
    return done
