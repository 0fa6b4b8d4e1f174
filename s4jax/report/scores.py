"""What each supernet scored: the journal of a run, space by space."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.runtime.files import read_json
from s4jax.search.evolve import Evolution


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Architectures of one space that were drawn at random, and their accuracies (0…1), (n,).

    They are those that measured the slopes, or the first generation of the evolution (`evolved`)
    where the space has no slopes. All are scored by the space's own supernet.
    """

    architectures: tuple[dict[str, Any], ...]
    accuracies: np.ndarray
    evolved: bool

    @property
    def mean(self) -> float:
        return float(self.accuracies.mean())

    @property
    def best(self) -> int:
        """The place of the best; of equals the first."""
        return int(np.argmax(self.accuracies))


def read_scores(workdir: pathlib.Path, images: int, evolution: Evolution | None) -> list[Scores]:
    """The scores of every space whose supernet is trained, as far as the phases went.

    `images`: of the search split. Empty where there is no supernet or no journal.
    """
    rows = read_journal(workdir / 'journal.jsonl')
    found, members = [], evolution.members if evolution else ()
    bred = {json.dumps(m.architecture.to_json()) for m in members}
    for t in range(len(rows) + 1):
        record = read_json(workdir / 'phases' / f'supernet_{t}.json')
        digest = record.get('digest') if isinstance(record, Mapping) else None
        own = [row for row in rows if row['supernet'] == digest]
        if digest is None or not own:
            break
        sampled = before_evolution(own, bred)
        if sampled:
            accuracies = np.array([row['correct'] for row in sampled]) / images
            found.append(Scores(tuple(r['architecture'] for r in sampled), accuracies, False))
        else:
            first = [m for m in members if m.generation == 0]
            accuracies = np.array([m.accuracy for m in first])
            found.append(Scores(tuple(m.architecture.to_json() for m in first), accuracies, True))
    return found


def before_evolution(rows: Sequence[dict[str, Any]], bred: set[str]) -> Sequence[dict[str, Any]]:
    """The rows of a supernet without those that its evolution appended: they stand at the end."""
    end = len(rows)
    while end and json.dumps(rows[end - 1]['architecture']) in bred:
        end -= 1
    return rows[:end]


def read_journal(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows up to the first that is damaged, as the last of a running phase may be."""
    rows = []
    for line in path.read_text(errors='replace').splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            ok = isinstance(row['architecture'], dict) and isinstance(row['correct'], int)
        except (ValueError, KeyError, TypeError):
            break
        if not ok or not isinstance(row.get('supernet'), str):
            break
        rows.append(row)
    return rows
