"""Checkpoints, saved while training goes on, verified when read. The only file with Orbax."""

import hashlib
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from s4jax.runtime.checksum import checksum
from s4jax.runtime.files import disk_errors, disk_full


def tree_digest(tree: Any) -> str:
    """A checksum of every leaf's name, type, shape and bytes."""
    result = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        result.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
        result.update(np.ascontiguousarray(array).data.cast('B') if array.size else b'')
    return result.hexdigest()


class Checkpoints:
    """The states of one training by step, each saved with a checksum and verified when it is read.

    Orbax restores a checkpoint with a flipped bit silently; here it is named, and the one before
    it is used. So is one that lies in the place of another.
    """

    def __init__(self, directory: pathlib.Path, warn: Callable[[str], None], keep: int = 3):
        self.directory, self.warn = directory.absolute(), warn
        with disk_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            policy = checkpoint_managers.AnyPreservationPolicy([checkpoint_managers.LatestN(keep)])
            self.manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=policy,
                    cleanup_tmp_directories=True,
                ),
            )

    def save(self, step: int, state: Any) -> None:
        """Begins to save the state of `step`, of which it takes a copy; waits for the save before.

        The state may be given away once it returns. What goes wrong later is raised by `check` or
        `wait`.
        """
        self.wait()
        wanted = 2**18 + sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        # Orbax would report a full disk in the tracebacks of its threads
        if shutil.disk_usage(self.directory).free < wanted:
            raise disk_full(self.directory, wanted)
        with disk_errors(self.directory):
            self.manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    meta=ocp.args.JsonSave(self._meta(step, state)),
                ),
                force=True,
            )

    def check(self) -> None:
        """Raises what has gone wrong with a save that is under way."""
        with disk_errors(self.directory):
            self.manager.check_for_errors()

    def wait(self) -> None:
        """Returns when the last save is complete; raises what went wrong with it."""
        with disk_errors(self.directory):
            self.manager.wait_until_finished()
            self.manager.check_for_errors()

    def _meta(self, step: int, state: Any) -> dict[str, str]:
        """What is committed with a state: whose it is, and its checksum."""
        return {'state': f'{self.directory.name} {step}', 'checksum': checksum(state)}

    def latest(self, like: Any, at_most: int | None = None) -> tuple[int, Any] | None:
        """The newest sound state, shaped, typed and sharded as `like`, and its step."""
        self.wait()
        for step in sorted(self.manager.all_steps(), reverse=True):
            if at_most is not None and step > at_most:
                continue
            try:
                restored = self.manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore()
                    ),
                )
                if self._sound(step, restored.state, restored.meta):
                    return step, restored.state
                reason = 'its checksum does not match'
            except Exception as error:  # a damaged file makes Orbax raise almost anything
                reason = f'it cannot be read ({type(error).__name__})'
            self.warn(
                f'checkpoint {self.directory / str(step)} is damaged: {reason}; it is deleted and '
                'the one before it used'
            )
            self.delete(step)
        return None

    def _sound(self, step: int, state: Any, meta: dict[str, str]) -> bool:
        if 'checksum' not in meta:  # saved by s4jax 0.1
            return tree_digest(state) == meta['digest']
        return meta == self._meta(step, state)

    def delete(self, step: int) -> None:
        self.wait()
        try:
            self.manager.delete(step)
        except Exception:  # a checkpoint can be too damaged for Orbax to delete
            shutil.rmtree(self.directory / str(step), ignore_errors=True)
            self.manager.reload()

    def delete_after(self, step: int) -> None:
        for newer in self.manager.all_steps():
            if newer > step:
                self.delete(newer)
