"""The evolution: every architecture that it scored, by accuracy and cost."""

from s4jax.report import drawing, plots
from s4jax.report.html import Html, figure, section, tag
from s4jax.report.origin import origin
from s4jax.report.reading import Run
from s4jax.report.summary import sizes
from s4jax.search.budget import exact
from s4jax.search.evolve import Member

TEXT = (
    'An evolutionary search in the last space: each generation is bred from the best architectures '
    'so far and scored with the supernet on the search split. Point at a dot to see its '
    'architecture.'
)


def evolution(run: Run) -> Html:
    found = run.evolution
    if found is None:
        return Html()
    count, best, limits = len(found.members), found.best, dict(run.budget.limits)
    panels, names = [], [title(member, run) for member in found.members]
    for cost in limits or ['params']:
        limit = limits.get(cost)
        sized = (cost, found, limit)
        titles = {'members': names, 'winner': [f'the winner, {title(best, run)}']}
        drawn = drawing.panel(plots.draw_population, *sized, width=4.3, height=3, titles=titles)
        winner = f'the winner: {best.accuracy:.2%} with {exact(best.costs[cost])} {cost}'
        panels.append(figure(f'Accuracy against {cost}', drawn, f'{count} architectures; {winner}'))
    text = (
        f'It scored {count:,} architectures and ended after {found.stopped}. The winner had '
        f'{best.accuracy:.2%} (origin: {best.origin}, generation {best.generation}).'
    )
    parents = (run.config.get('evolve') or {}).get('parents', 1)
    texts = [TEXT, text, origin(found, parents), *differs(run)]
    shown = (tag('p', text) for text in texts)
    return section('The evolution', *shown, tag('div', *panels, class_='panels two'))


def title(member: Member, run: Run) -> str:
    """What a point of the figure says."""
    costs = ', '.join(f'{value:,.15g} {name}' for name, value in member.costs.items())
    arch = sizes(member.architecture.to_json(), run.searched)
    return (
        f'{member.accuracy:.2%}, {costs}, {member.origin} of generation {member.generation}: {arch}'
    )


def differs(run: Run) -> list[str]:
    """Why the supernet's number for the winner is not that of the model trained alone."""
    if run.evolution is None or run.result is None:
        return []
    winner, before = run.result.winner, run.evolution.best.accuracy
    steps = {name: len(curve.steps) for name, curve in run.losses.items()}
    alone = f' of its {steps["retrain"]:,}' if 'retrain' in steps else ' of its'
    return [
        f'Why two numbers? In the supernet the winner had {before:.2%}, trained alone it has '
        f'{winner.accuracy:.2%}. In the supernet it shares its weights with all architectures of '
        f'the space, of which each step trains one; alone, all{alone} steps train it, and on the '
        f'train and search splits together. The first number counts the {run.data["search"]:,} '
        f'images of the search split, the second the {winner.images:,} test images. So compare '
        "a supernet's numbers only with each other: the search needs no more than their order."
    ]
