"""Finished trainings that several runs have in common: done once, copied by the others."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

from s4jax.runtime.files import disk_errors, read_json, write_json


@dataclasses.dataclass(frozen=True)
class Store:
    """A folder with a folder for each training: its checkpoints, its losses, what came out.

    A training is known by all that decides its weights. Runs may use the folder at the same time.
    """

    folder: pathlib.Path

    def take(self, work: Any, name: str, workdir: pathlib.Path) -> dict[str, Any] | None:
        """Copies the training into `workdir` as its phase `name`; None where it is not there."""
        place = self._place(work)
        found = read_json(place / 'outcome.json')
        if found is None:
            return None
        with disk_errors(workdir):
            for theirs, ours in _parts(place, workdir, name):
                if ours.is_dir():
                    shutil.rmtree(ours)
                ours.parent.mkdir(parents=True, exist_ok=True)
                _copy(theirs, ours)
        return found

    def keep(self, work: Any, name: str, workdir: pathlib.Path, outcome: dict[str, Any]) -> None:
        """Copies the phase `name` of `workdir` into the store, whole or not at all."""
        place = self._place(work)
        temporary = place.with_name(f'.{place.name}.{os.getpid()}')
        with disk_errors(place):
            try:
                temporary.mkdir(parents=True, exist_ok=True)
                for theirs, ours in _parts(temporary, workdir, name):
                    _copy(ours, theirs)
                write_json(temporary / 'outcome.json', outcome)
                with contextlib.suppress(FileExistsError):
                    os.rename(temporary, place)
            except OSError:
                if not place.is_dir():  # else another run has kept the same
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _place(self, work: Any) -> pathlib.Path:
        text = json.dumps(work, sort_keys=True)
        return self.folder / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _parts(
    place: pathlib.Path, workdir: pathlib.Path, name: str
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """(place in the store, place in the run) of what makes up a training."""
    return [
        (place / 'checkpoints', workdir / 'checkpoints' / name),
        (place / 'metrics.jsonl', workdir / 'metrics' / f'{name}.jsonl'),
    ]


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
