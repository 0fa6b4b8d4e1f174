"""What a search has cost: images trained on and scored, and how many of them beyond the budget."""

import functools
import json
import pathlib

from s4jax.report.result import Spent
from s4jax.report.scores import read_journal
from s4jax.run import Task
from s4jax.runtime.files import read_json
from s4jax.search.budget import Budget
from s4jax.training.trained import Record


def spent(task: Task, workdir: pathlib.Path) -> Spent:
    """The work of a run's search, from its finished phases and its journal."""
    rows = (read_json(path) for path in sorted((workdir / 'phases').glob('supernet_*.json')))
    records = [Record.from_json(row) for row in rows if row]
    trained = sum(record.images for record in records)
    wasted = sum(record.images * record.over_budget for record in records)
    budget = Budget.create(task.config.budget)

    @functools.cache
    def over(text: str) -> bool:
        return not budget.fits(task.cost(task.family.Architecture.from_json(json.loads(text))))

    journal = read_journal(workdir / 'journal.jsonl')
    scored = [over(json.dumps(row['architecture'])) for row in journal]
    return Spent(
        trained,
        wasted / trained if trained else 0.0,
        len(scored) * len(task.data.search),
        sum(scored) / len(scored) if scored else 0.0,
    )
