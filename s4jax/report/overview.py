"""The picture of a run, `report.png`: how the space moved, and beside it the evolution."""

from matplotlib.figure import Figure

from s4jax.report.plots import draw_population, draw_range, draw_sizes
from s4jax.report.reading import Run


def overview(run: Run) -> Figure:
    """Every dimension and every cost of the trajectory, then the population where there is one."""
    ranges, limits = run.ranges, dict(run.budget.limits)
    count = len(ranges) + len(limits)
    columns = max(2, -(-count // (2 if count <= 6 else 3)))
    rows = -(-count // columns)
    widths = [2.1 * columns] + [5.0] * (run.evolution is not None)
    figure = Figure((sum(widths), max(4.2, 2 * rows)))
    left, *right = figure.subfigures(
        1, len(widths), squeeze=False, width_ratios=widths, wspace=0.04
    )[0]
    panels = iter(left.subplots(rows, columns, squeeze=False).flat)
    for name, dimensions in ranges.items():
        axes = next(panels)
        draw_range(axes, dimensions, run.used.get(name, ()))
        axes.set_title(name)
    for name, limit in limits.items():
        axes = next(panels)
        draw_sizes(axes, name, run.sizes[name], limit, horizontal=2)
        axes.set_title(f'largest {name}')
        axes.set_ylabel('')
    for axes in panels:
        axes.set_visible(False)
    if run.evolution is not None:
        axes = right[0].subplots()
        cost = next(iter(limits), 'params')
        draw_population(axes, cost, run.evolution, limits.get(cost))
        axes.set_title('Evolution in the last space', pad=18)
    return figure
