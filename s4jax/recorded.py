"""What a finished run leaves to search again: its spaces and its supernets (`--from=RUN`)."""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from s4jax.config import Config
from s4jax.data.places import existing_directory
from s4jax.errors import UsageError
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import disk_errors, read_json
from s4jax.search.explore import Visited
from s4jax.training.trained import Record

# what a new search of old supernets may change: what comes after them (sections of the config)
LATER = frozenset('budget latency cost evolve evaluate retrain baseline hours'.split())
# search.method shaped the spaces; these keys say what is asked of them
ASKED = frozenset(('search.source', 'search.front', 'search.each_space'))
REPLAYED = ('supernet_*', 'explore_*', 's3_*')  # phases that are taken as they are


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A finished run: its folder, the keys that decide it, its spaces, its supernets' records."""

    workdir: pathlib.Path
    identity: Mapping[str, Any]
    trajectory: tuple[Visited, ...]
    supernets: tuple[Record, ...]

    @property
    def digest(self) -> str:
        """One text that says which supernets these are."""
        return ' '.join(record.digest for record in self.supernets)


def config_values(run: str) -> dict[str, Any]:
    """The values of the config of a finished run, to be searched again."""
    workdir = existing_directory(run, 'run')
    known = read_json(workdir / 'config.json')
    if not isinstance(known, dict) or 'config' not in known:
        raise UsageError(f'--from={run} holds no run: config.json is missing or damaged')
    values = dict(known['config'])
    search = dict(values.get('search') or {})
    if search.get('source'):
        raise UsageError(
            f'--from={run} trained no supernets itself: write --from={search["source"]}'
        )
    return values | {'hours': None, 'search': search | {'source': str(workdir.absolute())}}


@functools.cache
def read(source: str) -> Recorded:
    """The run in the folder `source`; raises UsageError where nothing of it can be searched."""
    workdir = existing_directory(source, 'run')
    known, trajectory = (read_json(workdir / name) for name in ('config.json', 'trajectory.json'))
    if not known or trajectory is None:
        raise UsageError(
            f'the run in {source} is not finished: go on with the command that began it'
        )
    paths = (workdir / f'phases/supernet_{t}.json' for t in range(len(trajectory)))
    rows = [row for row in map(read_json, paths) if row is not None]
    if len(rows) < len(trajectory):
        raise UsageError(
            f'the run in {source} has no supernet (search.method='
            f'{known["config"]["search"]["method"]}): name the run of a method that trains one'
        )
    spaces = tuple(map(Visited.from_json, trajectory))
    return Recorded(workdir, known['identity'], spaces, tuple(map(Record.from_json, rows)))


def check(config: Config, identity: Mapping[str, Any]) -> None:
    """Raises where a run that searches recorded supernets again would need others."""
    run = read(config.search.source)
    names = sorted(set(identity) | set(run.identity))
    for name in names:
        if name.split('.')[0] in LATER or name in ASKED or name == 'source digest':
            continue
        ours, theirs = identity.get(name), run.identity.get(name)
        if ours != theirs:
            raise UsageError(
                f'--from={run.workdir}: its supernets were trained with {name}={theirs!r}, not '
                f'{ours!r}: leave that out, or start a new search'
            )


def copy(run: Recorded, workdir: pathlib.Path, needed: Iterable[int]) -> None:
    """Gives a workdir the finished phases of the run, and the weights of the supernets `needed`.

    What is there already stays; the first host copies while the others wait.
    """
    if meshes.is_first_host():
        with disk_errors(workdir):
            for t in needed:
                source = run.workdir / 'checkpoints' / f'supernet_{t}'
                _copy_newest(source, workdir / 'checkpoints' / source.name)
            _copy(run.workdir / 'journal.jsonl', workdir / 'journal.jsonl')
            for folder, suffix in (('metrics', 'jsonl'), ('phases', 'json')):
                for pattern in REPLAYED:
                    for source in sorted((run.workdir / folder).glob(f'{pattern}.{suffix}')):
                        _copy(source, workdir / folder / source.name)
    meshes.any_host(False)  # all have waited for the first


def _copy_newest(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies the newest checkpoint of a training, which is that of its last step."""
    steps = [int(path.name) for path in source.glob('*') if path.name.isdigit()]
    if not steps:
        raise UsageError(f'{source} holds no checkpoint: the run cannot be searched again')
    _copy(source / str(max(steps)), target / str(max(steps)))


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file or a folder, whole or not at all, where the target is not there yet."""
    if target.exists() or not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f'.{target.name}.tmp')
    if source.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(source, temporary)
    else:
        shutil.copyfile(source, temporary)
    temporary.rename(target)
