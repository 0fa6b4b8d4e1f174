"""One process at a time writes to a workdir."""

import fcntl
import pathlib
from typing import IO

from s4jax.errors import UsageError
from s4jax.runtime.files import disk_errors

LOCK = '.lock'  # an empty file in the workdir


def held(workdir: pathlib.Path) -> IO[str]:
    """The folder's lock, this process's until it is closed or the process ends, however it ends.

    Raises where another process has it: two runs would write over each other.
    """
    with disk_errors(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / LOCK).open('a')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UsageError(
            f'another process writes to --workdir={workdir}: wait for it or end it, or choose '
            'another folder'
        ) from None
    except OSError:  # a file system without locks
        pass
    return file
