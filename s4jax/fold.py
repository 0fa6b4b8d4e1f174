"""What makes a run resumable: checkpoints that are verified, files that survive a kill, stages, signals.

The only file that knows Orbax. A run killed anywhere and started again ends as if it had never been killed, because
everything that is not stored here is a function of the seed.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from s4jax.errors import UsageError


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: everything is saved; the same command goes on from here."""


class Signals:
    """Turns the first Ctrl-C or SIGTERM into a flag that the loops look at; a second one ends the process at once."""

    def __init__(self):
        self.received: int | None = None

    def __enter__(self) -> 'Signals':
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number, _frame):
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number


def disk_full(path: pathlib.Path, wanted: int = 0) -> UsageError:
    free = shutil.disk_usage(_existing(path)).free / 2 ** 20
    need = f' of {wanted / 2 ** 20:,.0f} needed' if wanted else ''
    return UsageError(f'the disk is full: {path} could not be written ({free:,.0f} MiB free{need}); nothing that was saved '
                      'before is lost: free some space and run the same command again')


@contextlib.contextmanager
def disk_errors(path: pathlib.Path) -> Iterator[None]:
    """A full disk or a forbidden path as one clear line. Orbax wraps the error, so its causes are looked at too."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            text = str(cause)
            if getattr(cause, 'errno', None) in (errno.ENOSPC, errno.EDQUOT) or 'No space left' in text \
                    or 'RESOURCE_EXHAUSTED' in text or 'quota' in text.lower():
                raise disk_full(path) from error
            if isinstance(cause, PermissionError):
                raise UsageError(f'no permission to write {path}: choose another --workdir') from error
            cause = cause.__cause__ or cause.__context__
        raise


def _existing(path: pathlib.Path) -> pathlib.Path:
    return path if path.exists() else _existing(path.parent)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes the whole file or nothing."""
    write_text(path, json.dumps(value, indent=1) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
    if jax.process_index() == 0:      # the hosts of a run share its directory: the first one writes
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


def read_json(path: pathlib.Path) -> Any | None:
    """The file's value, or None where it is missing or damaged (then its stage is simply replayed)."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


class Lines:
    """A file of JSON lines that only grows; a line cut off by a kill is dropped when it is opened again."""

    def __init__(self, path: pathlib.Path, keep: Callable[[dict], bool] = lambda row: True):
        """Opens `path` with the rows for which `keep` holds, up to the first that is damaged."""
        self.path, self.rows = path, []
        for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not line.endswith('\n'):
                break
            if keep(row):
                self.rows.append(row)
        write_text(path, ''.join(json.dumps(row) + '\n' for row in self.rows))

    def append(self, *rows: dict) -> None:
        self.rows += rows
        if jax.process_index() == 0:
            with disk_errors(self.path), open(self.path, 'a') as file:
                file.write(''.join(json.dumps(row) + '\n' for row in rows))


def digest(tree: Any) -> str:
    """A checksum of every leaf's name, type, shape and bytes."""
    result = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        result.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
        result.update(np.ascontiguousarray(array).data.cast('B') if array.size else b'')
    return result.hexdigest()


class Checkpoints:
    """A stage's states by step, each committed with a digest of its own and verified when it is read.

    Orbax restores a checkpoint with a flipped bit without a word; here it is named and the one before it used.
    """

    def __init__(self, directory: pathlib.Path, warn: Callable[[str], None], keep: int = 3):
        self.directory, self.warn = directory.absolute(), warn
        with disk_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            policy = checkpoint_managers.AnyPreservationPolicy([checkpoint_managers.LatestN(keep)])
            self.manager = ocp.CheckpointManager(self.directory, options=ocp.CheckpointManagerOptions(
                preservation_policy=policy, enable_async_checkpointing=False, cleanup_tmp_directories=True))

    def save(self, step: int, state: Any) -> None:
        """Commits the state of `step`, synchronously: a full disk is told now and not one save later."""
        wanted = 2 ** 18 + sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if shutil.disk_usage(self.directory).free < wanted:      # Orbax would tell it in the tracebacks of its threads
            raise disk_full(self.directory, wanted)
        with disk_errors(self.directory):
            self.manager.save(step, args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({'digest': digest(state)})), force=True)
            self.manager.wait_until_finished()

    def latest(self, like: Any, at_most: int | None = None) -> tuple[int, Any] | None:
        """The newest sound state, shaped, typed and sharded as `like`, and its step."""
        for step in sorted(self.manager.all_steps(), reverse=True):
            if at_most is not None and step > at_most:
                continue
            try:
                restored = self.manager.restore(step, args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore()))
                if digest(restored.state) == restored.meta['digest']:
                    return step, restored.state
                reason = 'its checksum does not match'
            except Exception as error:  # whatever a damaged file makes Orbax raise, the answer is the one before it
                reason = f'it cannot be read ({type(error).__name__})'
            self.warn(f'checkpoint {self.directory / str(step)} is damaged: {reason}; it is deleted and the one before it used')
            self.delete(step)
        return None

    def delete(self, step: int) -> None:
        try:
            self.manager.delete(step)
        except Exception:  # a checkpoint can be too damaged for Orbax to delete
            shutil.rmtree(self.directory / str(step), ignore_errors=True)
            self.manager.reload()

    def delete_after(self, step: int) -> None:
        for newer in self.manager.all_steps():
            if newer > step:
                self.delete(newer)


def stage(path: pathlib.Path, compute: Callable[[], Any], any_host: Callable[[bool], bool] = bool) -> Any:
    """The JSON that `compute` returned the first time; a finished stage is read and not computed again.

    `any_host` makes the hosts agree: a stage that one of them cannot read is computed by all.
    """
    done = read_json(path)
    if any_host(done is None):
        done = json.loads(json.dumps(compute()))
        write_json(path, done)
    return done
