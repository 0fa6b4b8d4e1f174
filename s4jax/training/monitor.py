"""How a training is followed: the line of progress, and TensorBoard events."""

import os
import pathlib
import time
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
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import SessionLog
        except ImportError:
            return
        # no SummaryWriter: its thread goes by the clock, and a clock that jumps can stop it, and us
        self.directory.mkdir(parents=True, exist_ok=True)
        self.writer = EventsWriter(str(self.directory / 'events'), f'.{os.getpid()}')
        self.write(step + 1, session_log=SessionLog(status=SessionLog.START))

    def advance(self, step: int, losses: np.ndarray) -> None:
        """`step` steps are done, the last of them with these losses (n,)."""
        if self.progress.running != self.name:
            return
        self.progress.advance(step * self.batch_size)
        if self.writer:
            from tensorboardX.summary import scalar

            for k, loss in enumerate(losses, start=step - len(losses) + 1):
                self.write(k, summary=scalar('loss', loss))
            self.writer.flush()

    def write(self, step: int, **content: Any) -> None:
        """One event; a session that starts at a step makes void what earlier ones wrote after."""
        from tensorboardX.proto.event_pb2 import Event

        self.writer.write_event(Event(wall_time=time.time(), step=step, **content))
