"""The accuracy gradient of every space, and its neighbours, each with the reason if rejected."""

import numpy as np

from s4jax.report import drawing, plots
from s4jax.report.html import Html, defined, figure, section, table, tag
from s4jax.report.reading import Run
from s4jax.search.budget import readable
from s4jax.search.explore import Step
from s4jax.search.neighbours import Candidate
from s4jax.search.space import Dimension

MARGIN = 0.08  # of the width, left and right of the intervals
GRADIENT = (
    "How a supernet's accuracy on the search split changes along each dimension is the *accuracy "
    'gradient*: mean and standard error over pairs of architectures that differ in that dimension '
    'alone.'
)
NEIGHBOURS = (
    'All neighbours of each space, the closest to the gradient first. The search moves to the '
    'legal neighbour with the highest cosine, and stops where that is negative.'
)


def gradients(run: Run) -> Html:
    if not run.steps:
        return Html()
    measured = [gradient(step, run) for step in run.steps]
    ends = np.array([(np.min(g.mean - g.error), np.max(g.mean + g.error)) for g in measured])
    low, high = min(0.0, ends[:, 0].min()), max(0.0, ends[:, 1].max())
    margin = MARGIN * (high - low or 1)
    panels = []
    for t, (step, found) in enumerate(zip(run.steps, measured)):
        height = 1 + 0.3 * len(found.names)
        limits = low - margin, high + margin
        drawn = drawing.panel(plots.draw_slopes, found, limits, height=height)
        caption = f'{drawing.label(t)}, from {step.slopes.pairs} pairs'
        panels.append(figure(caption, drawn, description(found)))
    return section(
        'The accuracy gradient and the neighbours',
        tag('p', defined(GRADIENT)),
        tag('div', *panels, class_='panels'),
        tag('p', NEIGHBOURS),
        *(neighbours(t, step) for t, step in enumerate(run.steps)),
    )


def gradient(step: Step, run: Run) -> plots.Gradient:
    """A step's slopes in the units that its cosine was taken in."""
    names, in_steps = step.slopes.names, step.units == 'tau'
    space = {name: Dimension(name, **values) for name, values in run.config['space'].items()}
    scale = [space[name].tau if in_steps else 1 for name in names]
    mean, error = np.multiply(step.slopes.mean, scale), np.multiply(step.slopes.error, scale)
    return plots.Gradient(names, mean, error, step.gamma, 'step' if in_steps else 'unit')


def description(found: plots.Gradient) -> str:
    slopes = ', '.join(
        f'{name} {100 * mean:.2f} ± {100 * error:.2f}'
        for name, mean, error in zip(found.names, found.mean, found.error)
    )
    return f'{slopes} accuracy points per {found.unit}'


def neighbours(t: int, step: Step) -> Html:
    """How many neighbours of a space were legal, and a table of them that opens."""
    names = step.slopes.names
    listed = sorted(step.candidates, key=lambda c: (-c.cosine, c.gamma))
    total, legal = 3 ** len(names) - 1, sum(c.rejected is None for c in listed)
    counted = f'{legal:,} of {total:,} neighbours legal'
    if len(listed) != total:
        counted = (
            f'{len(listed):,} of {total:,} neighbours listed, best first, {legal:,} of them legal'
        )
    outcome = f'stopped: {step.stopped}'
    if step.stopped is None:
        outcome = f'the move has cosine {step.cosine:.3f}'
    costs = list(dict.fromkeys(name for c in listed for name in c.costs or ()))
    rows, classes = [], []
    for c in listed:
        kind = 'chosen' if c.gamma == step.gamma else 'rejected' if c.rejected else 'legal'
        rows.append([*cells(c, costs), c.rejected if kind == 'rejected' else kind])
        classes.append(kind)
    found = table([*names, 'cosine', *costs, 'verdict'], rows, classes)
    return tag('details', tag('summary', f'{drawing.label(t)}: {counted}; {outcome}'), found)


def cells(candidate: Candidate, costs: list[str]) -> list[str]:
    """A neighbour in the table: its move, cosine and costs."""
    known = candidate.costs
    return [
        *(drawing.signed(g) for g in candidate.gamma),
        f'{candidate.cosine:.3f}'.replace('-', '−'),
        *(readable(known[name]) if known else '–' for name in costs),
    ]
