"""What all figures share: style, colours, axes, and the bytes that a figure becomes.

It is matplotlib without its global state, and the same bytes for the same input. All common kinds
of colour vision can tell the colours apart (Okabe and Ito; viridis).
"""

import contextlib
import html
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from s4jax.search.budget import readable

BLUE, WINNER, BASELINE, LIMIT, FAINT = '#0072B2', '#D55E00', '#6b6b6b', '#222222', '#d9d9d9'
SPACES = LinearSegmentedColormap.from_list('spaces', ['#9ecae1', '#3182bd', '#08306b'])
GENERATIONS = LinearSegmentedColormap.from_list(
    'generations', matplotlib.colormaps['viridis'](np.linspace(0, 0.93, 64))
)
DASHED = (0, (4, 2))
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
DROPPED = dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))  # they differ from run to run
Color = str | tuple[float, float, float, float]
# what a browser says of each point of an artist when it is pointed at, by the artist's gid
Titles = Mapping[str, Sequence[str]]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The settings of every figure: matplotlib's defaults, whatever the user's own, then ours."""
    with matplotlib.style.context(['default', STYLE]):
        yield


def panel(
    draw: Callable[..., None],
    *args: Any,
    width: float = 3.5,
    height: float = 2.4,
    titles: Titles | None = None,
    **kwargs: Any,
) -> str:
    """One small figure as SVG, drawn by `draw(axes, *args, **kwargs)`; sizes in inches."""
    figure = Figure((width, height))
    draw(figure.add_subplot(), *args, **kwargs)
    return svg(figure, titles)


def svg(figure: Figure, titles: Titles | None = None) -> str:
    """An <svg> for a page: its text is text in the page's font; it is as wide as its container."""
    out = io.StringIO()
    figure.savefig(out, format='svg', transparent=True, metadata=DROPPED)
    text = out.getvalue()[out.getvalue().index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>\s*', '', text, flags=re.DOTALL)
    for gid, names in (titles or {}).items():
        text = entitled(text, gid, names)
    text = re.sub(r'<g id="[^"]*"', '<g', text)  # every figure would have its own figure_1, axes_1
    text = re.sub(r' (width|height)="[\d.]+pt"', '', text, count=2)
    return re.sub(r"'DejaVu Sans'(, '[^']*')*, sans-serif", 'system-ui, sans-serif', text)


def entitled(text: str, gid: str, titles: Sequence[str]) -> str:
    """An SVG in which each point of the artist `gid`, in their order, has a title."""
    start = text.index(f'<g id="{gid}"')
    left = iter(titles)

    def point(found: re.Match[str]) -> str:
        title = None if found[0].startswith('<defs') else next(left, None)
        return (
            found[0] if title is None else f'<g><title>{html.escape(title)}</title>{found[0]}</g>'
        )

    # a point is drawn by one element; what stands in <defs> is only its shape
    points = r'<defs>.*?</defs>|<(?:use|path)\b[^>]*/>'
    result = text[:start] + re.sub(points, point, text[start:], flags=re.DOTALL)
    if next(left, None) is not None:
        raise ValueError(f'{gid} has fewer points than titles')
    return result


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=160, facecolor='white', metadata={'Software': None})
    return out.getvalue()


def label(t: int) -> str:
    """The name of the space after t moves: A₀, A₁, …"""
    return 'A' + str(t).translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))


def signed(steps: int) -> str:
    return f'+{steps}' if steps > 0 else f'−{-steps}' if steps else '0'


def colors(count: int) -> list[Color]:
    """A colour for each of `count` spaces, light to dark."""
    return [SPACES(k / max(1, count - 1)) for k in range(count)]


def spaces_axis(axes: Axes, count: int) -> None:
    """One place for each space; at most 6 of them are labelled."""
    every = -(-count // 6)
    axes.set_xticks(range(0, count, every), [label(t) for t in range(0, count, every)])
    axes.set_xlim(-0.6, count - 0.4)
    axes.tick_params(axis='x', length=0)


def cost_axis(axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: readable(value)))


def percent_axis(axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{100 * value:.4g}%'))
