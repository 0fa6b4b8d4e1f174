"""What a run leaves for a person: trajectory, winner, result, one page, TensorBoard events, and a summary in the terminal."""

import pathlib
import re
from typing import Any

import numpy as np

from s4jax.report import page
from s4jax.runtime.files import write_json
from s4jax.runtime.progress import Progress
from s4jax.search.budget import Budget, readable
from s4jax.search.space import SearchSpace

# what differs between two runs of the same config on the same machine: times and rates, nothing else
NOT_COMPARED = ('timing.jsonl', 'tensorboard')


def visited(
    space: SearchSpace, largest: dict[str, float], gamma: Any, step: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A space of the trajectory: the move and the exploration step that led to it, and its largest model's costs."""
    return {
        'space': space.to_json(),
        'largest': largest,
        'gamma': list(gamma),
        'cosine': step and step['cosine'],
        'slopes': step and step['slopes'],
    }


class Training:
    """Hears of a fit's progress: the progress line, and TensorBoard events where tensorboardX is installed.

    Without `progress` it keeps quiet.
    """

    def __init__(
        self, workdir: pathlib.Path, name: str, progress: Progress | None, batch_size: int
    ):
        self.directory, self.progress, self.batch_size = (
            workdir / 'tensorboard' / name,
            progress,
            batch_size,
        )
        self.writer = None

    def start(self, step: int) -> None:
        if self.progress is None:
            return
        self.progress.resumed(step * self.batch_size)
        try:
            import tensorboardX
        except ImportError:
            return
        self.writer = tensorboardX.SummaryWriter(
            str(self.directory), purge_step=step + 1, flush_secs=10
        )

    def reached(self, step: int, losses: np.ndarray) -> None:
        if self.progress is None:
            return
        self.progress.reached(step * self.batch_size)
        if self.writer:
            for k, loss in enumerate(losses, start=step - len(losses) + 1):
                self.writer.add_scalar('loss', loss, k)
            self.writer.flush()


def finish(
    workdir: pathlib.Path,
    facts: dict[str, Any],
    trajectory: list[dict],
    found: dict[str, Any],
    tested: dict[str, Any],
) -> str:
    """Writes `trajectory.json`, `architecture.json`, `result.json` and `report.html`; returns the summary."""
    winner, best = tested['retrain'], found['best']
    result = facts | {
        'trajectory': trajectory,
        'winner': winner | {'search_accuracy': best['accuracy'], 'choices': best['choices']},
        'baseline': tested['baseline'],
        'references': tested.get('references', {}),
        'evolution': found['stopped'],
    }
    write_json(workdir / 'trajectory.json', trajectory)
    write_json(
        workdir / 'architecture.json',
        {'family': facts['family']} | winner['architecture'] | winner['costs'],
    )
    write_json(workdir / 'result.json', result)
    page.write(workdir)
    return summary(workdir, result)


def summary(workdir: pathlib.Path, result: dict[str, Any]) -> str:
    """What a person wants to know at the end, in some lines of text."""
    budget = Budget(tuple(result['budget'].items()))
    winner, baseline = result['winner'], result['baseline']
    rows = [
        (
            'budget',
            f'{budget}   ({result["family"]} on {result["data"]["name"]}, seed {result["seed"]})',
        )
    ]
    if result.get('encoder'):
        rows += [('encoder', encoder(result['encoder']))]
    rows += [('', '')]
    for t, row in enumerate(result['trajectory']):
        space = SearchSpace.from_json(row['space'])
        rows += [
            (f'space A{t}', f'{space}'),
            ('', f'    largest {costs(row["largest"], budget)}; {reached(space, row, t)}'),
        ]
        if 'stopped' in row:
            rows += [('', f'    and stayed there: {row["stopped"]}')]
    rows += [
        ('', ''),
        (
            'evolution',
            f'best of the supernet: {winner["search_accuracy"]:.2%} of the search split; '
            f'ended after {result["evolution"]}',
        ),
        ('', ''),
    ]
    searched = {re.sub(r'_\d+$', '', name) for name in winner['choices']} | {'depths'}
    for name, model in (('winner', winner), ('hand-made', baseline)):
        sizes = ', '.join(f'{k} {v}' for k, v in model['architecture'].items() if k in searched)
        rows += [
            (
                name,
                f'test accuracy {model["accuracy"]:.2%} ({model["correct"]} of {model["images"]}), '
                f'{costs(model["costs"], Budget(tuple(dict.fromkeys(model["costs"]).items())), exact=True)}',
            ),
            ('', f'    {sizes}'),
        ]
    rows += [(name, reference(model)) for name, model in result['references'].items()]
    rows += [
        ('', ''),
        (
            'files',
            f'{workdir}/report.html (page), result.json, architecture.json, trajectory.json, '
            f'checkpoints/retrain (weights)',
        ),
    ]
    return '\n'.join(f'{name:<10} {text}'.rstrip() for name, text in rows)


def encoder(facts: dict[str, Any]) -> str:
    """The frozen encoder in a line: none of it is searched, or counted in the budget."""
    return (
        f'{facts["name"]}, frozen, {facts["source"]}{" (no accuracy here says anything of CLIP)" * facts["random"]}; '
        f'{readable(facts["params"])} params and {readable(facts["macs"])} macs beside the budget'
    )


def reference(model: dict[str, Any]) -> str:
    if 'accuracy' not in model:
        return f'not available: {model["told"]}'
    return f'test accuracy {model["accuracy"]:.2%} ({model["correct"]} of {model["images"]}), {model["told"]}'


def costs(values: dict[str, float], budget: Budget, exact: bool = False) -> str:
    return ', '.join(
        f'{values[name]:,.0f} {name}' if exact else f'{readable(values[name])} {name}'
        for name, _ in budget.limits
    )


def reached(space: SearchSpace, row: dict[str, Any], t: int) -> str:
    """Why the search stood at this space."""
    moves = ', '.join(
        f'{d.name} {"+" if g > 0 else "−"}{readable(abs(g) * d.tau)}'
        for d, g in zip(space.dimensions, row['gamma'])
        if g
    )
    if t == 0:
        return f'moved before training, to fit the budget: {moves}' if moves else 'as given'
    return f'moved {moves}: the legal neighbour closest to the accuracy gradient (cosine {row["cosine"]:.2f})'
