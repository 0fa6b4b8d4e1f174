"""The front of accuracy against size: the best architecture under each of several limits."""

from matplotlib.axes import Axes

from s4jax.report import drawing
from s4jax.report.html import Html, figure, section, table, tag
from s4jax.report.reading import Run
from s4jax.report.summary import sizes
from s4jax.search.front import Front

TEXT = (
    'How much accuracy a larger model buys, as far as the supernet of the last space can tell. '
    'Each point is an architecture: the best that an evolution found under one limit. None of them '
    'is trained alone yet. To train one, search again under its size; RUN is the folder of {}:'
)


def front(run: Run) -> Html:
    found = run.front
    if found is None or not found.members:
        return Html()
    searched, limit = run.searched, dict(run.budget.limits).get(found.cost)
    names = [
        f'{m.accuracy:.2%}, {m.costs[found.cost]:,.15g} {found.cost}: '
        f'{sizes(m.architecture.to_json(), searched)}'
        for m in found.members
    ]
    picture = drawing.panel(
        draw_front, found, limit, width=4.3, height=2.8, titles={'front': names}
    )
    costs = list(found.members[0].costs)
    rows = [
        (
            f'{m.accuracy:.2%}',
            *(f'{m.costs[name]:,.15g}' for name in costs),
            sizes(m.architecture.to_json(), searched),
        )
        for m in found.members
    ]
    again = (run.config.get('search') or {}).get('source')
    owner = 'the run that trained the supernets' if again else 'this run'
    middle = found.members[len(found.members) // 2].costs[found.cost]
    command = (
        'python -m s4jax.main --from=RUN --workdir=FOLDER '
        f'--config.budget.{found.cost}={middle:.15g}'
    )
    return section(
        'Accuracy against size',
        tag('p', TEXT.format(owner)),
        tag('pre', command),
        tag(
            'div',
            figure('', picture, f'{len(names)} architectures, from small to large'),
            table(['in the supernet', *costs, 'architecture'], rows),
            class_='panels two',
        ),
    )


def draw_front(axes: Axes, found: Front, limit: float | None) -> None:
    """Accuracy on the search split against the cost, a step up at each architecture."""
    x = [m.costs[found.cost] for m in found.members]
    y = [m.accuracy for m in found.members]
    end = limit if limit is not None else x[-1]
    axes.step([*x, end], [*y, y[-1]], where='post', color=drawing.FAINT, linewidth=1.5)
    axes.scatter(x, y, color=drawing.BLUE, s=28, linewidths=0, gid='front', zorder=3)
    if limit is not None:
        axes.axvline(limit, color=drawing.LIMIT, linewidth=1.2, linestyle=drawing.DASHED)
    drawing.cost_axis(axes.xaxis)
    drawing.percent_axis(axes.yaxis)
    axes.set_xlabel(drawing.UNITS.get(found.cost, found.cost))
    axes.set_ylabel('accuracy on the search split')
    axes.grid(color=drawing.FAINT, linewidth=0.6)
