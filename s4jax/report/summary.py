"""The summary that a run ends with: some lines of text in the terminal."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from s4jax.report.result import Model, Reference, Result
from s4jax.runtime.goodput import Goodput
from s4jax.search.budget import exact, readable
from s4jax.search.explore import Visited
from s4jax.search.space import parse_name

SCORES = {
    'accuracy': 'of the search split',
    'likelihood': 'as the mean probability of the true class on the search split',
}
Rows = list[tuple[str, str]]


def summary(
    workdir: pathlib.Path,
    result: Result,
    spent: Goodput | None = None,
    score: str = 'accuracy',
) -> str:
    """What a person wants to know at the end, in some lines of text; subnets have a `score`."""
    blank = [('', '')]
    facts = f'{result.family} on {result.data["name"]}, {result.method}, seed {result.seed}'
    rows = [('budget', f'{result.budget}   ({facts})')]
    if result.encoder:
        rows += [('encoder', encoder(result.encoder))]
    rows += blank + spaces(result) + blank
    if result.evolution:
        rows += [
            (
                'evolution',
                f'best of the supernet: {result.search_accuracy:.2%} {SCORES[score]}; '
                f'ended after {result.evolution}',
            ),
            *blank,
        ]
    rows += models(result)
    rows += [(name, reference(model)) for name, model in result.references.items()]
    files = (
        'report.html (page), result.json, architecture.json, trajectory.json, '
        'checkpoints/retrain (weights)'
    )
    rows += blank + ([('time', str(spent))] if spent else [])
    rows += [('files', f'{workdir}/{files}')]
    return '\n'.join(f'{name:<10} {text}'.rstrip() for name, text in rows)


def spaces(result: Result) -> Rows:
    """Every space of the trajectory, and why the search moved there."""
    limited, rows = [name for name, _ in result.budget.limits], []
    for t, visited in enumerate(result.trajectory):
        largest = ', '.join(f'{readable(visited.largest[name])} {name}' for name in limited)
        rows += [
            (f'space A{t}', str(visited.space)),
            ('', f'    largest {largest}; {reason(visited, t)}'),
        ]
        if visited.stopped is not None:
            rows += [('', f'    and stayed there: {visited.stopped}')]
    return rows


def reason(visited: Visited, t: int) -> str:
    """Why the search came to the space after t moves."""
    moves = ', '.join(
        f'{d.name} {"+" if g > 0 else "−"}{readable(abs(g) * d.tau)}'
        for d, g in zip(visited.space.dimensions, visited.gamma)
        if g
    )
    if t == 0:
        return f'moved before training, to fit the budget: {moves}' if moves else 'as given'
    if visited.cosine is None:
        return f'moved {moves}: as the lines of S3 ask for'
    return (
        f'moved {moves}: the legal neighbour closest to the accuracy gradient '
        f'(cosine {visited.cosine:.2f})'
    )


def models(result: Result) -> Rows:
    """Test accuracy, exact costs and searched sizes of the winner and of the hand-made model."""
    searched = {parse_name(name)[0] for name in result.choices} | {'depths'}
    rows = []
    for name, model in (
        ('winner', result.winner),
        *result.spaces.items(),
        ('hand-made', result.baseline),
    ):
        costs = ', '.join(f'{exact(value)} {cost}' for cost, value in model.costs.items())
        rows += [
            (name, f'test accuracy {tested(model)}, {costs}'),
            ('', f'    {sizes(model.architecture, searched)}'),
        ]
    if result.derived:
        rows += [('', f'    derived: the stock shape of {result.family}, scaled to the budget')]
    return rows


def sizes(architecture: Mapping[str, Any], searched: Iterable[str]) -> str:
    return ', '.join(f'{name} {value}' for name, value in architecture.items() if name in searched)


def tested(model: Model | Reference) -> str:
    return f'{model.accuracy:.2%} ({model.correct} of {model.images})'


def encoder(facts: Mapping[str, Any]) -> str:
    """The frozen encoder in a line: none of it is searched, or counted in the budget."""
    untrained = ' (no accuracy here says anything of CLIP)' if facts['random'] else ''
    return (
        f'{facts["name"]}, frozen, {facts["source"]}{untrained}; '
        f'{readable(facts["params"])} params and {readable(facts["macs"])} macs beside the budget'
    )


def reference(model: Reference) -> str:
    if model.accuracy is None:
        return f'not available: {model.description}'
    return f'test accuracy {tested(model)}, {model.description}'
