"""Where TFDS's data and our prepared images lie, and whether a path can be used at all."""

import os
import pathlib

from s4jax.data.messages import near
from s4jax.errors import UsageError


def path_of(text: str, what: str) -> pathlib.Path:
    """The absolute path that a user wrote; UsageError where no such path can exist.

    what: how an error calls it, such as 'data.root'.
    """
    try:
        path = pathlib.Path(text).expanduser().resolve()
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        shown = text if len(text) <= 60 else f'{text[:60]}…'
        raise UsageError(f'{what}={shown} is not a path that can be read ({reason})') from None
    return path


def existing_directory(text: str, what: str) -> pathlib.Path:
    """A folder that exists and can be read; the nearest names are listed where there is none."""
    path = path_of(text, what)
    if path.is_dir():
        _check_readable(path, f'{what}={text}')
        return path
    if path.exists():
        raise UsageError(f'{what}={text} is a file; write the path of a folder')
    folders = [other.name for other in neighbours(path) if other.is_dir()]
    raise UsageError(f'{what}={text} is not a folder{near(path.name, folders)}')


def neighbours(path: pathlib.Path) -> list[pathlib.Path]:
    """What is in the folder where `path` would be; nothing where it cannot be read."""
    try:
        return sorted(path.parent.iterdir())
    except OSError:
        return []


def permitted(path: pathlib.Path, mode: int) -> bool:
    """Whether this process may use an existing path in a mode such as os.W_OK."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _check_readable(path: pathlib.Path, shown: str) -> None:
    if not permitted(path, os.R_OK | os.X_OK):
        raise UsageError(f'{shown}: no permission to read this folder')


def data_directory(root: str) -> pathlib.Path:
    """TFDS's: `root`, or TFDS_DATA_DIR, or ~/tensorflow_datasets; it need not exist yet."""
    what, text = 'data.root', root
    if not root:
        what, text = 'TFDS_DATA_DIR', os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
    path = path_of(text, what)
    if path.exists() and not path.is_dir():
        raise UsageError(f'{what}={text} is a file; write the path of a folder')
    if path.exists():
        _check_readable(path, f'{what}={text}')
    return path


def prepared_directory(root: str) -> pathlib.Path:
    """Where prepared images lie below TFDS's data directory."""
    return data_directory(root) / 's4jax'
