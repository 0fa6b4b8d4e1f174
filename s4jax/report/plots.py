"""The report's figures: matplotlib without its global state, and the same bytes for the same input.

A `draw_…` function draws one panel into the axes it is given; `svg` and `png` turn a finished figure into bytes. The colours
are told apart by all common kinds of colour vision (Okabe and Ito; viridis).
"""

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from s4jax.search.budget import readable
from s4jax.search.space import Dimension

BLUE, WINNER, BASELINE, LIMIT, FAINT = '#0072B2', '#D55E00', '#6b6b6b', '#222222', '#d9d9d9'
SPACES = LinearSegmentedColormap.from_list('spaces', ['#9ecae1', '#3182bd', '#08306b'])
GENERATIONS = LinearSegmentedColormap.from_list(
    'generations', matplotlib.colormaps['viridis'](np.linspace(0, 0.93, 64))
)
UNITS = {
    'params': 'parameters',
    'macs': 'multiply-accumulates (MACs)',
    'latency_ms': 'latency (ms)',
}
STYLE = {
    'font.size': 9,
    'axes.titlesize': 9,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': '#777777',
    'axes.labelcolor': '#333333',
    'xtick.color': '#333333',
    'ytick.color': '#333333',
    'xtick.labelsize': 8.5,
    'ytick.labelsize': 8.5,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'axes.axisbelow': True,
    'text.parse_math': False,
    'svg.fonttype': 'none',
    'svg.hashsalt': 's4jax',
    'figure.constrained_layout.use': True,
    'figure.constrained_layout.h_pad': 0.06,
    'figure.constrained_layout.w_pad': 0.06,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """What every figure is drawn under: matplotlib's defaults, whatever the user's own settings, and ours."""
    with matplotlib.style.context(['default', STYLE]):
        yield


def panel(
    draw: Callable[..., None], *args: Any, width: float = 3.5, height: float = 2.4, **kwargs: Any
) -> str:
    """One small figure as SVG; sizes in inches."""
    figure = Figure((width, height))
    draw(figure.add_subplot(), *args, **kwargs)
    return svg(figure)


def svg(figure: Figure) -> str:
    """An <svg> to put into a page: its text is text, in the page's own font, and it is as wide as its container."""
    out = io.StringIO()
    figure.savefig(
        out,
        format='svg',
        transparent=True,
        metadata=dict.fromkeys(('Date', 'Creator', 'Format', 'Type')),
    )
    text = out.getvalue()[out.getvalue().index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>\s*', '', text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', '<g', text)  # figure_1, axes_1, … once per figure
    text = re.sub(r' (width|height)="[\d.]+pt"', '', text, count=2)
    return re.sub(r"'DejaVu Sans'(, '[^']*')*, sans-serif", 'system-ui, sans-serif', text)


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=160, facecolor='white', metadata={'Software': None})
    return out.getvalue()


def label(t: int) -> str:
    """The name of the space after t moves: A₀, A₁, …"""
    return 'A' + str(t).translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))


def colors(count: int) -> list:
    return [SPACES(k / max(1, count - 1)) for k in range(count)]


def spaces_axis(axes: Axes, count: int) -> None:
    """One place for each space; of many only some are named."""
    every = -(-count // 6)
    axes.set_xticks(range(0, count, every), [label(t) for t in range(0, count, every)])
    axes.set_xlim(-0.6, count - 0.4)
    axes.tick_params(axis='x', length=0)


def draw_range(axes: Axes, dimensions: Sequence[Dimension], winner: Sequence[float] = ()) -> None:
    """The interval of one dimension in every space, a dot for each choice; what the winner uses beside the last."""
    for t, (dimension, color) in enumerate(zip(dimensions, colors(len(dimensions)))):
        axes.plot(
            [t, t],
            [dimension.lower, dimension.upper],
            color=color,
            solid_capstyle='round',
            linewidth=min(11, 66 / len(dimensions)),
        )
        if len(dimension.values) <= 16:
            axes.plot(
                [t] * len(dimension.values),
                dimension.values,
                '.',
                color='white',
                markersize=5,
                markeredgewidth=0,
            )
    spaces_axis(axes, len(dimensions))
    if winner:
        place, used = len(dimensions) + 0.3, sorted(set(winner))
        axes.plot([place] * len(used), used, 'D', color=WINNER, markersize=4.5, markeredgewidth=0)
        axes.set_xticks(
            [*axes.get_xticks(), place],
            [*(text.get_text() for text in axes.get_xticklabels()), 'winner'],
        )
        axes.set_xlim(-0.6, place + 0.6)
    values = sorted({value for dimension in dimensions for value in dimension.values})
    margin = 0.6 * dimensions[0].step + 0.06 * (values[-1] - values[0])
    axes.set_ylim(values[0] - margin, values[-1] + margin)
    axes.yaxis.set_major_locator(FixedLocator(values[:: -(-len(values) // 8)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
    axes.grid(axis='y', color=FAINT, linewidth=0.6)


def draw_sizes(
    axes: Axes, cost: str, sizes: Sequence[float | None], limit: float, level: int = 5
) -> None:
    """The largest model of every space against the budget; up to `level` numbers stand level, more stand upright."""
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
                rotation=0 if len(sizes) <= level else 90,
            )
    axes.axhline(limit, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.annotate(
        f'budget {readable(limit)}',
        (1, limit),
        (0, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords='offset points',
        ha='right',
        fontsize=8.5,
        color=LIMIT,
    )
    spaces_axis(axes, len(sizes))
    axes.set_ylim(0, 1.14 * top)
    cost_axis(axes.yaxis)
    axes.set_ylabel(UNITS.get(cost, cost))


def cost_axis(axis: Any, bins: int = 5) -> None:
    axis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))


def percent_axis(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{100 * value:.4g}%'))


def draw_slopes(
    axes: Axes,
    names: Sequence[str],
    mean: Sequence[float],
    error: Sequence[float],
    gamma: Sequence[int] | None,
    unit: str,
    reach: tuple[float, float],
) -> None:
    """The accuracy gradient with its standard errors; at the right the move that was made along each dimension."""
    places = np.arange(len(names))
    axes.axvline(0, color='#777777', linewidth=0.8)
    axes.errorbar(
        mean, places, xerr=error, fmt='o', color=BLUE, markersize=5, capsize=3, linewidth=1.4
    )
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(reach)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f'{100 * value:+.3g}'.replace('-', '−') if value else '0')
    )
    axes.set_xlabel(f'accuracy points per {unit}')
    axes.grid(axis='x', color=FAINT, linewidth=0.6)
    axes.tick_params(axis='y', length=0)
    for place, steps in zip(places, gamma or ()):
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
    if gamma:
        axes.annotate(
            'move',
            (1, 1),
            (6, 1),
            xycoords='axes fraction',
            textcoords='offset points',
            ha='center',
            fontsize=8,
        )


def signed(steps: int) -> str:
    return f'+{steps}' if steps > 0 else f'−{-steps}' if steps else '0'


def draw_losses(
    axes: Axes, curves: dict[str, tuple[np.ndarray, np.ndarray]], palette: Sequence
) -> None:
    """Loss against step: the moving average over a fiftieth of the fit, and the values themselves, faint."""
    lowest, highest = [], []
    for (name, (steps, losses)), color in zip(curves.items(), palette):
        smooth = moving_average(losses, len(losses) // 50 + 1)
        raw, some = (
            np.unique(np.linspace(0, len(losses) - 1, count).astype(int)) for count in (600, 300)
        )
        axes.plot(steps[raw], losses[raw], color=color, alpha=0.22, linewidth=0.6)
        axes.plot(steps[some], smooth[some], color=color, linewidth=1.7, label=name, zorder=3)
        lowest.append(np.quantile(losses, 0.001))
        highest.append(max(smooth.max(), np.quantile(losses, 0.999)))
    margin = 0.05 * (max(highest) - min(lowest)) or 0.5
    axes.set_ylim(
        min(lowest) - margin, max(highest) + margin
    )  # a lone spike must not flatten the rest
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))
    axes.set_xlabel('step')
    axes.set_ylabel('training loss (nats)')
    axes.grid(axis='y', color=FAINT, linewidth=0.6)
    axes.legend(loc='upper right', labelspacing=0.3)


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over the `window` values before and after each, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(values))
    return (total[last] - total[first]) / (last - first)


def draw_population(
    axes: Axes, cost: str, members: Sequence[dict], best: dict, limit: float | None
) -> None:
    """Accuracy on the search split against one cost, coloured by generation, the winner marked."""
    generations = np.array([member['generation'] for member in members])
    sizes, accuracies = (
        np.array(values, float)
        for values in zip(*((m['costs'][cost], m['accuracy']) for m in members))
    )
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
    )
    axes.plot(
        best['costs'][cost],
        best['accuracy'],
        '*',
        color=WINNER,
        markersize=14,
        markeredgecolor='white',
        label='winner',
    )
    bar = axes.figure.colorbar(ScalarMappable(norm, GENERATIONS), ax=axes, pad=0.02, aspect=30)
    bar.set_label('generation')
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5, integer=True)
    bar.update_ticks()
    if limit is not None:
        axes.axvline(limit, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            f'budget {readable(limit)}',
            (limit, 1),
            (0, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords='offset points',
            ha='right',
            fontsize=8.5,
            color=LIMIT,
        )
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), borderpad=0, handletextpad=0.1)
    cost_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel(UNITS.get(cost, cost))
    axes.set_ylabel('accuracy on the search split')
    axes.grid(color=FAINT, linewidth=0.6)


def draw_accuracies(
    axes: Axes, rows: Sequence[tuple[str, float, tuple[float, float], str]]
) -> None:
    """(name, accuracy, its 95% interval, colour) of every tested model."""
    for place, (name, accuracy, interval, color) in enumerate(rows):
        axes.plot(interval, [place, place], color=color, linewidth=2)
        axes.plot(accuracy, place, 'o', color=color, markersize=8)
        axes.annotate(
            name,
            (accuracy, place),
            (0, 8),
            textcoords='offset points',
            ha='center',
            color=color,
            weight='bold',
        )
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines['left'].set_visible(False)
    percent_axis(axes.xaxis)
    axes.margins(x=0.25)
    axes.grid(axis='x', color=FAINT, linewidth=0.6)
    axes.set_xlabel('test accuracy and its 95% interval')


def overview(
    ranges: dict[str, Sequence[Dimension]],
    winner: dict[str, Sequence[float]],
    sizes: dict[str, Sequence],
    limits: dict[str, float],
    evolution: dict[str, Any] | None,
) -> Figure:
    """The trajectory of the space beside the population, as one picture for a README."""
    count = len(ranges) + len(limits)
    columns = max(2, -(-count // (2 if count <= 6 else 3)))
    rows = -(-count // columns)
    widths = [2.1 * columns] + [5.0] * (evolution is not None)
    figure = Figure((sum(widths), max(4.2, 2 * rows)))
    left, *right = figure.subfigures(
        1, len(widths), squeeze=False, width_ratios=widths, wspace=0.04
    )[0]
    axes = iter(left.subplots(rows, columns, squeeze=False).flat)
    for name, dimensions in ranges.items():
        here = next(axes)
        draw_range(here, dimensions, winner.get(name, ()))
        here.set_title(name)
    for name, limit in limits.items():
        here = next(axes)
        draw_sizes(here, name, sizes[name], limit, level=2)
        here.set_title(f'largest {name}')
        here.set_ylabel('')
    for here in axes:
        here.set_visible(False)
    if evolution:
        here = right[0].subplots()
        cost = next(iter(limits), 'params')
        draw_population(here, cost, evolution['members'], evolution['best'], limits.get(cost))
        here.set_title('Evolution in the last space', pad=18)
    return figure
