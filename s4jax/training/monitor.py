"""How a training is followed: the line of progress, and TensorBoard events."""

import pathlib
from typing import Any

import numpy as np

from s4jax.runtime import mesh as meshes
from s4jax.runtime.progress import Progress


class Monitor:
    """Follows the training `name`; silent while another phase of the run is under way.

    The first process writes TensorBoard events, where tensorboardX is installed.
    """

    def __init__(self, workdir: pathlib.Path, name: str, progress: Progress, batch_size: int):
        self.directory = workdir / 'tensorboard' / name
        self.name, self.progress, self.batch_size = name, progress, batch_size
        self.writer: Any = None

    def start(self, step: int) -> None:
        """Training begins, or goes on, after this many steps."""
        if self.progress.running != self.name:
            return
        self.progress.resume(step * self.batch_size)
        if not meshes.is_first_host():
            return
        try:
            import tensorboardX
        except ImportError:
            return
        self.writer = tensorboardX.SummaryWriter(
            str(self.directory), purge_step=step + 1, flush_secs=10
        )

    def advance(self, step: int, losses: np.ndarray) -> None:
        """`step` steps are done, the last of them with these losses (n,)."""
        if self.progress.running != self.name:
            return
        self.progress.advance(step * self.batch_size)
        if self.writer:
            for k, loss in enumerate(losses, start=step - len(losses) + 1):
                self.writer.add_scalar('loss', loss, k)
            self.writer.flush()
