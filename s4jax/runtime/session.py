"""Where a run happens: what every phase needs and none changes."""

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax

from s4jax.runtime import files
from s4jax.runtime import mesh as meshes
from s4jax.runtime.progress import Progress
from s4jax.runtime.signals import Signals
from s4jax.runtime.store import Store


class Outcome(Protocol):
    """What a phase returns: a frozen dataclass that JSON can hold."""

    def to_json(self) -> dict[str, Any]: ...


T = TypeVar('T', bound=Outcome)


@dataclasses.dataclass(frozen=True)
class Session:
    """The folder of a run, its devices, the signals that may end it, its line of progress.

    `renew()` is called after every phase that was computed. `store` holds finished trainings that
    several runs have in common, where there is one.
    """

    workdir: pathlib.Path
    mesh: jax.sharding.Mesh
    signals: Signals
    progress: Progress
    renew: Callable[[], None] = lambda: None
    store: Store | None = None

    def begin(self) -> None:
        """Notes how this session was started, and on what."""
        command = shlex.join(['python', *sys.orig_argv[1:]])
        self.progress.note({'command': command, 'devices': meshes.described()})

    def phase(
        self, name: str, compute: Callable[[], T], from_json: Callable[[dict[str, Any]], T]
    ) -> T:
        """The outcome of a phase: computed and written, or read where the phase is finished."""
        path = self.workdir / 'phases' / f'{name}.json'
        computed = []

        def timed() -> dict[str, Any]:
            computed.append(name)
            with self.progress.phase(name):
                return compute().to_json()

        row = files.phase(path, timed, meshes.any_host)
        self.progress.skip(name)
        if computed:
            self.renew()
        return from_json(row)

    def shared(
        self,
        name: str,
        work: Callable[[], dict[str, Any]],
        compute: Callable[[], T],
        from_json: Callable[[dict[str, Any]], T],
    ) -> T:
        """The outcome of a training: from the store where it is there, else computed and kept.

        `work()` is all that decides it. Without a store it is computed.
        """
        if self.store is None:
            return compute()
        known = work()
        kept = self.store.take(known, name, self.workdir)
        if kept is not None:
            self.progress.note({'phase': name, 'seconds': kept['seconds'], 'shared': True})
            return from_json(kept['outcome'])
        outcome = compute()
        seconds = round(self.progress.seconds(name), 2)
        row = {'outcome': outcome.to_json(), 'seconds': seconds}
        self.store.keep(known, name, self.workdir, row)
        return outcome

    def finished(self) -> set[str]:
        """The names of the finished phases."""
        return {path.stem for path in (self.workdir / 'phases').glob('*.json')}
