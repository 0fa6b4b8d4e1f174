"""The report's panels: each `draw_…` function draws one into the axes that it is given."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from matplotlib.transforms import Transform

from s4jax.report.drawing import (
    BLUE,
    DASHED,
    FAINT,
    GENERATIONS,
    LIMIT,
    UNITS,
    WINNER,
    Color,
    colors,
    cost_axis,
    percent_axis,
    signed,
    spaces_axis,
)
from s4jax.report.reading import Curve
from s4jax.report.statistics import moving_average
from s4jax.search.budget import readable
from s4jax.search.evolve import Evolution
from s4jax.search.space import Dimension, Gamma


def draw_range(axes: Axes, dimensions: Sequence[Dimension], winner: Sequence[float] = ()) -> None:
    """The range of one dimension in every space, a dot for each choice.

    `winner` holds the values that the winner uses; they are drawn beside the last space.
    """
    count = len(dimensions)
    for t, (dimension, color) in enumerate(zip(dimensions, colors(count))):
        ends, values = [dimension.lower, dimension.upper], dimension.values
        width = min(11, 66 / count)
        axes.plot([t, t], ends, color=color, solid_capstyle='round', linewidth=width)
        if len(values) <= 16:
            places = [t] * len(values)
            axes.plot(places, values, '.', color='white', markersize=5, markeredgewidth=0)
    spaces_axis(axes, count)
    if winner:
        place, used = count + 0.3, sorted(set(winner))
        axes.plot([place] * len(used), used, 'D', color=WINNER, markersize=4.5, markeredgewidth=0)
        labels = [text.get_text() for text in axes.get_xticklabels()]
        axes.set_xticks([*axes.get_xticks(), place], [*labels, 'winner'])
        axes.set_xlim(-0.6, place + 0.6)
    grid = sorted({value for dimension in dimensions for value in dimension.values})
    margin = 0.6 * dimensions[0].step + 0.06 * (grid[-1] - grid[0])
    axes.set_ylim(grid[0] - margin, grid[-1] + margin)
    axes.yaxis.set_major_locator(FixedLocator(grid[:: -(-len(grid) // 8)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
    axes.grid(axis='y', color=FAINT, linewidth=0.6)


def draw_sizes(
    axes: Axes, cost: str, sizes: Sequence[float | None], limit: float, horizontal: int = 5
) -> None:
    """One cost of the largest model of every space, against the budget.

    The numbers on the bars are horizontal up to that many bars, and upright beyond.
    """
    top = max(limit, *(size or 0 for size in sizes))
    for t, (size, color) in enumerate(zip(sizes, colors(len(sizes)))):
        if size is not None:
            axes.bar(t, size, color=color, width=0.76)
            axes.annotate(
                readable(size),
                (t, size),
                (0, -4),
                textcoords='offset points',
                ha='center',
                va='top',
                fontsize=8,
                color='black' if t < len(sizes) / 3 else 'white',
                rotation=0 if len(sizes) <= horizontal else 90,
            )
    axes.axhline(limit, color=LIMIT, linewidth=1.2, linestyle=DASHED)
    label_budget(axes, limit, (1, limit), axes.get_yaxis_transform())
    spaces_axis(axes, len(sizes))
    axes.set_ylim(0, 1.14 * top)
    cost_axis(axes.yaxis)
    axes.set_ylabel(UNITS.get(cost, cost))


def label_budget(
    axes: Axes, limit: float, place: tuple[float, float], transform: Transform
) -> None:
    axes.annotate(
        f'budget {readable(limit)}',
        place,
        (0, 3),
        xycoords=transform,
        textcoords='offset points',
        ha='right',
        fontsize=8.5,
        color=LIMIT,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Gradient:
    """An accuracy gradient in accuracy (0…1) per `unit`: mean and standard error, float (n,).

    `gamma` is the move that was made, in steps of each dimension; None where the search stopped.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    error: np.ndarray
    gamma: Gamma | None
    unit: str


def draw_slopes(axes: Axes, gradient: Gradient, limits: tuple[float, float]) -> None:
    """An accuracy gradient with its standard errors; at the right the move in each dimension."""
    names = gradient.names
    places = np.arange(len(names))
    axes.axvline(0, color='#777777', linewidth=0.8)
    axes.errorbar(
        gradient.mean,
        places,
        xerr=gradient.error,
        fmt='o',
        color=BLUE,
        markersize=5,
        capsize=3,
        linewidth=1.4,
    )
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(limits)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))
    axes.set_xlabel(f'accuracy points per {gradient.unit}')
    axes.grid(axis='x', color=FAINT, linewidth=0.6)
    axes.tick_params(axis='y', length=0)
    if gradient.gamma:
        annotate_move(axes, gradient.gamma)


def points(value: float) -> str:
    """An accuracy difference in points, with its sign."""
    return f'{100 * value:+.3g}'.replace('-', '−') if value else '0'


def annotate_move(axes: Axes, gamma: Gamma) -> None:
    """The steps of a move in a column of its own, right of the axes."""
    for place, steps in enumerate(gamma):
        axes.annotate(
            signed(steps),
            (1, place),
            (6, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords='offset points',
            va='center',
            color=LIMIT if steps else '#999999',
            weight='bold' if steps else 'normal',
        )
    axes.annotate(
        'move',
        (1, 1),
        (6, 1),
        xycoords='axes fraction',
        textcoords='offset points',
        ha='center',
        fontsize=8,
    )


def draw_losses(axes: Axes, curves: Mapping[str, Curve], palette: Sequence[Color]) -> None:
    """Loss against step: the values, faint, and their moving average over a fiftieth of the fit."""
    lowest, highest = [], []
    for (name, curve), color in zip(curves.items(), palette):
        steps, losses = curve.steps, curve.losses
        smooth = moving_average(losses, len(losses) // 50 + 1)
        raw, some = (
            np.unique(np.linspace(0, len(losses) - 1, count).astype(int)) for count in (600, 300)
        )
        axes.plot(steps[raw], losses[raw], color=color, alpha=0.22, linewidth=0.6)
        axes.plot(steps[some], smooth[some], color=color, linewidth=1.7, label=name, zorder=3)
        lowest.append(np.quantile(losses, 0.001))
        highest.append(max(smooth.max(), np.quantile(losses, 0.999)))
    margin = 0.05 * (max(highest) - min(lowest)) or 0.5
    # a single outlier must not flatten the rest
    axes.set_ylim(min(lowest) - margin, max(highest) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
    axes.set_xlabel('step')
    axes.set_ylabel('training loss (nats)')
    axes.grid(axis='y', color=FAINT, linewidth=0.6)
    axes.legend(loc='upper right', labelspacing=0.3)


def draw_population(axes: Axes, cost: str, evolution: Evolution, limit: float | None) -> None:
    """Accuracy on the search split against one cost, coloured by generation, the winner marked."""
    members, best = evolution.members, evolution.best
    generations = np.array([member.generation for member in members])
    sizes = np.array([member.costs[cost] for member in members], float)
    accuracies = np.array([member.accuracy for member in members], float)
    norm = Normalize(0, max(1, generations.max()))
    axes.scatter(
        sizes,
        accuracies,
        c=generations,
        cmap=GENERATIONS,
        norm=norm,
        s=14,
        alpha=0.85,
        linewidths=0,
        gid='members',
    )
    axes.plot(
        best.costs[cost],
        best.accuracy,
        '*',
        color=WINNER,
        markersize=14,
        markeredgecolor='white',
        label='winner',
        gid='winner',
    )
    generations_bar(axes, norm)
    if limit is not None:
        axes.axvline(limit, color=LIMIT, linewidth=1.2, linestyle=DASHED)
        label_budget(axes, limit, (limit, 1), axes.get_xaxis_transform())
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), borderpad=0, handletextpad=0.1)
    cost_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel(UNITS.get(cost, cost))
    axes.set_ylabel('accuracy on the search split')
    axes.grid(color=FAINT, linewidth=0.6)


def generations_bar(axes: Axes, norm: Normalize) -> None:
    bar = axes.figure.colorbar(ScalarMappable(norm, GENERATIONS), ax=axes, pad=0.02, aspect=30)
    bar.set_label('generation')
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5, integer=True)
    bar.update_ticks()


def draw_scores(axes: Axes, accuracies: Sequence[np.ndarray]) -> None:
    """The accuracies (n,) of the architectures scored in each space: dots, and a line at the mean.

    The dots are spread in width, always in the same way.
    """
    for t, (values, color) in enumerate(zip(accuracies, colors(len(accuracies)))):
        spread = np.arange(len(values)) * 0.618 % 1 - 0.5
        look: dict[str, Any] = {'alpha': 0.55, 'markersize': 4.5, 'markeredgewidth': 0}
        axes.plot(t + 0.5 * spread, values, '.', color=color, gid=f'space_{t}', **look)
        axes.plot([t - 0.34, t + 0.34], [values.mean()] * 2, color=LIMIT, linewidth=1.6)
    spaces_axis(axes, len(accuracies))
    percent_axis(axes.yaxis)
    axes.set_ylabel('accuracy on the search split')
    axes.grid(axis='y', color=FAINT, linewidth=0.6)


@dataclasses.dataclass(frozen=True)
class Tested:
    """A tested model: its accuracy (0…1) with the 95% interval, and its colour."""

    name: str
    accuracy: float
    interval: tuple[float, float]
    color: str


def draw_accuracies(axes: Axes, rows: Sequence[Tested]) -> None:
    """The test accuracy of every model with its 95% interval."""
    for place, row in enumerate(rows):
        axes.plot(row.interval, [place, place], color=row.color, linewidth=2)
        gid = f'model_{place}'
        axes.plot(row.accuracy, place, 'o', color=row.color, markersize=8, gid=gid)
        axes.annotate(
            row.name,
            (row.accuracy, place),
            (0, 8),
            textcoords='offset points',
            ha='center',
            color=row.color,
            weight='bold',
        )
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines['left'].set_visible(False)
    percent_axis(axes.xaxis)
    axes.margins(x=0.25)
    axes.grid(axis='x', color=FAINT, linewidth=0.6)
    axes.set_xlabel('test accuracy and its 95% interval')
