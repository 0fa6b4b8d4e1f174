"""How the space moved: every dimension's range and the largest model's costs, space by space."""

from s4jax.report import drawing, plots
from s4jax.report.html import Html, figure, join, section, table, tag
from s4jax.report.reading import Run
from s4jax.search.budget import readable
from s4jax.search.explore import Visited
from s4jax.search.space import Dimension

SPACE = (
    'A search space is the set of architectures that the search can choose from: a range of values '
    'for each dimension, which is one size of the model. The search moves the ranges to raise the '
    'accuracy while the largest model of the space fits the budget.'
)
COSINE = 'The cosine compares a move with the accuracy gradient: 1 is the same direction.'


def spaces(run: Run) -> Html:
    if not run.trajectory:
        return Html()
    count = len(run.trajectory) - 1
    winner = '; diamonds are the values of the winner' if run.choices else ''
    text = (
        f'The search made {count} move{"s" * (count != 1)}. Each bar is the range of one '
        f'dimension in one space, each dot a value that can be chosen{winner}. {COSINE}'
    )
    costs = [name for name, _ in run.budget.limits]
    head = ['space', 'move', 'cosine', *(f'largest {name}' for name in costs)]
    rows = [row(t, visited, costs) for t, visited in enumerate(run.trajectory)]
    panels = tag('div', *ranges(run), *sizes(run), class_='panels')
    texts = (tag('p', SPACE), tag('p', text))
    return section('How the space moved', *texts, panels, table(head, rows))


def ranges(run: Run) -> list[Html]:
    """A figure for each dimension."""
    figures = []
    for name, dimensions in run.ranges.items():
        drawn = drawing.panel(plots.draw_range, dimensions, run.used.get(name, ()))
        described = (f'{drawing.label(t)} {interval(d)}' for t, d in enumerate(dimensions))
        figures.append(figure(name, drawn, f'{name}: {", ".join(described)}'))
    return figures


def sizes(run: Run) -> list[Html]:
    """A figure for each cost in the budget."""
    return [
        figure(
            f'{cost} of the largest model',
            drawing.panel(plots.draw_sizes, cost, run.sizes[cost], limit),
            f'{cost} of the largest model of each space against the budget',
        )
        for cost, limit in run.budget.limits
    ]


def row(t: int, visited: Visited, costs: list[str]) -> list[object]:
    """A space in the table: the move that led to it, and the costs of its largest model."""
    largest = visited.largest
    return [
        drawing.label(t),
        move(t, visited),
        '–' if visited.cosine is None else f'{visited.cosine:.3f}',
        *(readable(largest[name]) if name in largest else '–' for name in costs),
    ]


def move(t: int, visited: Visited) -> Html | str:
    """What moved, by how much, and the new ranges."""
    parts = [
        tag('span', tag('b', d.name), f' {steps(g, d)}, now {interval(d)}', class_='whole')
        for g, d in zip(visited.gamma, visited.space.dimensions)
        if g
    ]
    if t > 0:
        return join(parts, '; ')
    before = 'moved before training, to fit the budget: '
    return join([before, join(parts, '; ')]) if parts else 'as given'


def interval(dimension: Dimension) -> str:
    low, high = readable(dimension.lower), readable(dimension.upper)
    return low if dimension.lower == dimension.upper else f'{low}–{high}'


def steps(count: int, dimension: Dimension) -> str:
    """A move along one dimension, in steps and in its own unit."""
    sign, size = '+' if count > 0 else '−', abs(count)
    plural = 's' * (size > 1)
    return f'{sign}{size} step{plural} ({sign}{readable(size * dimension.tau)})'
