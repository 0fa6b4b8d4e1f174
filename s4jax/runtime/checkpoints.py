"""Checkpoints that are verified when they are read. The only file that knows Orbax."""

import hashlib
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

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
    """The states of one training by step, each saved with a digest and verified when it is read.

    Orbax restores a checkpoint with a flipped bit silently; here it is named, and the one before
    it is used.
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
                    enable_async_checkpointing=False,
                    cleanup_tmp_directories=True,
                ),
            )

    def save(self, step: int, state: Any) -> None:
        """Saves the state of `step`; a full disk is an error now and not one save later."""
        wanted = 2**18 + sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        # Orbax would report a full disk in the tracebacks of its threads
        if shutil.disk_usage(self.directory).free < wanted:
            raise disk_full(self.directory, wanted)
        with disk_errors(self.directory):
            self.manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    meta=ocp.args.JsonSave({'digest': tree_digest(state)}),
                ),
                force=True,
            )
            self.manager.wait_until_finished()

    def latest(self, like: Any, at_most: int | None = None) -> tuple[int, Any] | None:
        """The newest sound state, shaped, typed and sharded as `like`, and its step."""
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
                if tree_digest(restored.state) == restored.meta['digest']:
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
