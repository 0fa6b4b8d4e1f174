"""How the space moved: every dimension's range and the largest model's costs, space by space."""

from collections.abc import Sequence

import numpy as np

from s4jax.report import drawing, moves, plots
from s4jax.report.html import Html, defined, figure, join, section, table, tag
from s4jax.report.reading import Run
from s4jax.report.scores import Scores
from s4jax.report.summary import sizes as described
from s4jax.search.budget import readable
from s4jax.search.explore import Visited
from s4jax.search.space import Dimension

SPACE = (
    'A *search space* is the set of architectures that the search can choose from: a range of '
    'values for each dimension, which is one size of the model. The search moves the ranges to '
    'raise the accuracy while the largest model of the space fits the budget.'
)
NEIGHBOURS = (
    'A *neighbour* of a space is one step away in one or more dimensions; a step is *τ* (tau), by '
    'which both ends of a range shift. It is *legal* if its largest model fits the budget and no '
    'range leaves its limits. The *cosine* compares a move with the direction in which accuracy '
    'rises (the gradient below): 1 is that direction, 0 is across it, −1 is opposite.'
)
SUPERNET = (
    'A *supernet* is one network that contains every architecture of a space; they share its '
    'weights, so that each can be scored without training it. Each space has its own. The dots are '
    'architectures drawn at random in a space and scored by its supernet on the search split; the '
    'line is their mean.'
)
DOTS = 300  # of a space, at most


def spaces(run: Run) -> Html:
    if not run.trajectory:
        return Html()
    count = len(run.trajectory) - 1
    winner = '; diamonds are the values of the winner' if run.choices else ''
    text = (
        f'The search made {count} move{"s" * (count != 1)}. Each bar is the range of one '
        f'dimension in one space, each dot a value that can be chosen{winner}.'
    )
    costs = [name for name, _ in run.budget.limits]
    head = ['space', 'move', 'cosine', *(f'largest {name}' for name in costs)]
    rows = [row(t, visited, costs) for t, visited in enumerate(run.trajectory)]
    panels = tag('div', *ranges(run), *sizes(run), class_='panels')
    return section(
        'How the space moved',
        tag('p', defined(SPACE)),
        tag('p', text),
        panels,
        *reasons(run),
        table(head, rows),
        *accuracies(run),
    )


def reasons(run: Run) -> list[Html]:
    """A sentence for each move, and for the end; none where no gradient chose the moves."""
    if not run.steps:
        return []
    items = []
    for t, (step, space) in enumerate(zip(run.steps, run.spaces)):
        name = drawing.label(t) + (f' → {drawing.label(t + 1)}' if step.gamma else '')
        items.append(tag('li', tag('b', f'{name}: '), moves.sentence(step, space, run.budget)))
    return [tag('p', defined(NEIGHBOURS)), tag('ul', *items, class_='reasons')]


def accuracies(run: Run) -> list[Html]:
    """What the architectures of each space scored; nothing where no supernet scored them."""
    if not run.scores:
        return []
    rows, shown, titles = [], [], {}
    for t, scores in enumerate(run.scores):
        count = len(scores.accuracies)
        places = np.unique(np.linspace(0, count - 1, min(count, DOTS)).astype(int))
        shown.append(scores.accuracies[places])
        titles[f'space_{t}'] = [
            f'{scores.accuracies[k]:.2%}: {described(scores.architectures[k], run.searched)}'
            for k in places
        ]
        best = described(scores.architectures[scores.best], run.searched)
        top = f'{scores.accuracies.max():.2%}'
        rows.append([drawing.label(t), f'{count:,}', f'{scores.mean:.2%}', top, best])
    drawn = drawing.panel(plots.draw_scores, shown, titles=titles)
    head = ['space', 'scored', 'mean', 'best', 'the best of them']
    names = ', '.join(f'{row[0]} {row[2]}' for row in rows)
    return [
        tag('h3', 'Accuracy in each space'),
        tag('p', defined(SUPERNET)),
        tag('p', helped(run.scores)),
        tag(
            'div',
            figure('', drawn, f'mean accuracies: {names}'),
            table(head, rows),
            class_='beside',
        ),
    ]


def helped(scores: Sequence[Scores]) -> str:
    """Whether the last space is better than the first, and what that number includes."""
    first, last, end = scores[0], scores[-1], drawing.label(len(scores) - 1)
    if len(scores) == 1:
        return 'Only one space has been scored, so there is nothing to compare it with.'
    mean, best = (
        f'{abs(points):.2f} points {"higher" if points >= 0 else "lower"}'
        for points in (
            100 * (last.mean - first.mean),
            100 * (last.accuracies.max() - first.accuracies.max()),
        )
    )
    text = (
        f'Did moving help? Between A₀ and {end} the mean became {mean}, and the best {best}. A '
        'part of this may be how well each supernet was trained, and chance.'
    )
    if last.evolved:
        text += f' In {end} no slopes were measured: there it is the first generation below.'
    return text


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
