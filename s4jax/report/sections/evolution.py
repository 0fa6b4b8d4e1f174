"""The evolution: every architecture that it scored, by accuracy and cost."""

from s4jax.report import drawing, plots
from s4jax.report.html import Html, figure, section, tag
from s4jax.report.reading import Run

TEXT = (
    'An evolutionary search in the last space: each generation is bred from the best architectures '
    'so far and scored with the supernet on the search split. With shared weights these accuracies '
    'differ from those after training alone; the search needs their order only.'
)


def evolution(run: Run) -> Html:
    found = run.evolution
    if found is None:
        return Html()
    count, best, limits = len(found.members), found.best, dict(run.budget.limits)
    panels = []
    for cost in limits or ['params']:
        limit = limits.get(cost)
        drawn = drawing.panel(plots.draw_population, cost, found, limit, width=4.3, height=3)
        winner = f'the winner: {best.accuracy:.2%} with {best.costs[cost]:,.0f} {cost}'
        panels.append(figure(f'Accuracy against {cost}', drawn, f'{count} architectures; {winner}'))
    text = (
        f'It scored {count:,} architectures and ended after {found.stopped}. The winner had '
        f'{best.accuracy:.2%} (origin: {best.origin}, generation {best.generation}).'
    )
    texts = (tag('p', TEXT), tag('p', text))
    return section('The evolution', *texts, tag('div', *panels, class_='panels two'))
