"""The loss curves of the supernets, and of the models that were trained alone."""

from s4jax.report import drawing, plots
from s4jax.report.html import Html, figure, section, tag
from s4jax.report.reading import Curve, Run

ALONE = {
    'retrain': ('winner', drawing.WINNER),
    'baseline': ('hand-made', drawing.BASELINE),
}
TEXT = (
    'The loss of every training step, faint, and its moving average. A supernet trains a random '
    'architecture of its space in each step. The winner and the hand-made model are trained from '
    'scratch, each alone.'
)


def training(run: Run) -> Html:
    if not run.losses:
        return Html()
    supernets: dict[str, Curve] = {}
    alone: dict[str, Curve] = {}
    alone_colors: list[drawing.Color] = []
    for phase, curve in run.losses.items():
        kind, _, t = phase.partition('_')
        if kind == 'supernet':
            supernets[drawing.label(int(t))] = curve
        elif phase in ALONE:
            name, color = ALONE[phase]
            alone[name] = curve
            alone_colors.append(color)
    panels = []
    if supernets:
        panels.append(curves('Supernets', supernets, drawing.colors(len(supernets))))
    if alone:
        panels.append(curves('Trained alone', alone, alone_colors))
    return section('Training', tag('p', TEXT), tag('div', *panels, class_='panels two'))


def curves(caption: str, losses: dict[str, Curve], palette: list[drawing.Color]) -> Html:
    drawn = drawing.panel(plots.draw_losses, losses, palette, width=4.3, height=2.7)
    described = (
        f'{name}: {len(curve.steps):,} steps, last loss {curve.losses[-1]:.3f}'
        for name, curve in losses.items()
    )
    return figure(caption, drawn, ', '.join(described))
