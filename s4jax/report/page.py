"""One HTML page of a run: what came out, what it was found against, and how the search got there.

The page is one file that needs no network and no script; it holds no times, so that the same run gives the same bytes. What
a run has not reached yet is left out.
"""

import dataclasses
import html
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.report import plots
from s4jax.runtime.files import disk_errors, read_json, write_text
from s4jax.search.budget import Budget, readable
from s4jax.search.space import Dimension, SearchSpace


class Html(str):
    """Markup. Any other string is text and is escaped."""


def tag(name: str, *content: Any, **attributes: str) -> Html:
    """An element; `class_` stands for class."""
    inside = join(content)
    written = ''.join(
        f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items()
    )
    return Html(f'<{name}{written}>{inside}</{name}>')


def join(parts: Iterable[Any], between: str = '') -> Html:
    return Html(
        between.join(part if isinstance(part, Html) else html.escape(str(part)) for part in parts)
    )


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], classes: Iterable[str] = ()) -> Html:
    """A table that scrolls sideways where it is too wide; numbers stand right. `classes`: one for each row."""
    rows = list(rows)
    numeric = [
        all(re.fullmatch(r'[+−]?[\d.,]+[kMG%]?|–', str(row[k])) for row in rows)
        for k in range(len(head))
    ]

    def line(cell: str, row: Sequence[Any], class_: str = '') -> Html:
        cells = (
            tag(cell, value, **{'class_': 'number'} if right else {})
            for value, right in zip(row, numeric)
        )
        return tag('tr', *cells, **{'class_': class_} if class_ else {})

    classes = list(classes) or [''] * len(rows)
    body = (line('td', row, class_) for row, class_ in zip(rows, classes))
    return tag(
        'div', tag('table', tag('thead', line('th', head)), tag('tbody', *body)), class_='wide'
    )


def figure(caption: Any, drawing: str, described: str) -> Html:
    image = tag('div', Html(drawing), role='img', **{'aria-label': described})
    return tag('figure', *([tag('figcaption', caption)] if caption else []), image)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run directory holds so far."""

    config: dict[str, Any]
    data: dict[str, Any]
    budget: Budget
    trajectory: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    evolution: dict[str, Any] | None
    losses: dict[str, tuple[np.ndarray, np.ndarray]]
    result: dict[str, Any] | None
    finished: list[str]

    @property
    def spaces(self) -> list[SearchSpace]:
        return [SearchSpace.from_json(row['space']) for row in self.trajectory]

    @property
    def ranges(self) -> dict[str, list[Dimension]]:
        """Each dimension in every space."""
        return {
            name: [space.dimensions[k] for space in self.spaces]
            for k, name in enumerate(self.spaces[0].names)
        }

    @property
    def winner(self) -> dict[str, Any] | None:
        """The tested winner, or the best architecture that the evolution found."""
        return self.result['winner'] if self.result else self.evolution and self.evolution['best']


def write(workdir: pathlib.Path) -> None:
    """Writes `report.html` and, where there is something to draw, `report.png` from what the run directory holds."""
    run = read(workdir)
    with plots.style():
        write_text(workdir / 'report.html', page(run))
        if run.trajectory:
            picture = plots.overview(
                run.ranges, chosen(run), sizes(run), dict(run.budget.limits), run.evolution
            )
            with disk_errors(workdir):
                temporary = workdir / f'.report.png.{os.getpid()}.tmp'
                temporary.write_bytes(plots.png(picture))
                temporary.replace(workdir / 'report.png')


def read(workdir: pathlib.Path) -> Run:
    known = read_json(workdir / 'config.json')
    if known is None:
        raise UsageError(f'{workdir} holds no run: config.json is missing')
    finished = sorted((path.stem for path in (workdir / 'stages').glob('*.json')), key=order)
    steps = [
        read_json(workdir / 'stages' / f'{name}.json')
        for name in finished
        if name.startswith('explore_')
    ]
    limits = tuple(
        (name, limit) for name, limit in known['config']['budget'].items() if limit is not None
    )
    losses = {path.stem: read_losses(path) for path in (workdir / 'metrics').glob('*.jsonl')}
    return Run(
        config=known['config'],
        data=known['data'],
        budget=Budget(limits),
        steps=list(filter(None, steps)),
        finished=finished,
        trajectory=read_json(workdir / 'trajectory.json') or visited(list(filter(None, steps))),
        evolution=read_json(workdir / 'stages' / 'evolve.json'),
        result=read_json(workdir / 'result.json'),
        losses={name: losses[name] for name in sorted(losses, key=order) if len(losses[name][0])},
    )


def order(name: str) -> tuple:
    """Stages in the order of the method."""
    stage, _, t = name.partition('_')
    last = ('evolve', 'retrain', 'baseline', 'test')
    return (
        (0, int(t), stage != 'supernet')
        if t.isdigit()
        else (1, last.index(name) if name in last else len(last), name)
    )


def read_losses(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """(steps, losses) up to the first line that is damaged, as the last one of a running fit may be."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
            rows.append((row['step'], row['loss']))
        except (ValueError, KeyError, TypeError):
            break
    values = np.array(rows, np.float64).reshape(-1, 2)
    values = values[np.isfinite(values).all(1)]
    return values[:, 0].astype(int), values[:, 1]


def visited(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trajectory of a run that is not finished: what its steps tell of it."""
    moved = [step for step in steps if step['space']]
    if not moved:
        return []
    first = SearchSpace.from_json(moved[0]['space']).moved(tuple(-g for g in moved[0]['gamma']))
    start = {
        'space': first.to_json(),
        'largest': {},
        'gamma': [0] * len(first.dimensions),
        'cosine': None,
    }
    return [start] + [
        {
            'space': step['space'],
            'gamma': step['gamma'],
            'cosine': step['cosine'],
            'largest': next(c['costs'] for c in step['candidates'] if c['gamma'] == step['gamma']),
        }
        for step in moved
    ]


def chosen(run: Run) -> dict[str, tuple]:
    """The winner's values in each dimension."""
    choices = run.winner['choices'] if run.winner else {}
    return {
        name: tuple(value) if isinstance(value, list) else (value,)
        for name, value in choices.items()
    }


def sizes(run: Run) -> dict[str, list]:
    return {
        name: [row['largest'].get(name) for row in run.trajectory] for name, _ in run.budget.limits
    }


def page(run: Run) -> str:
    parts = [
        headline(run),
        architectures(run),
        spaces(run),
        gradients(run),
        training(run),
        population(run),
        settings(run),
    ]
    title = f'{run.config["family"]} on {run.data["name"]}'
    head = join(
        [
            Html(
                '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            ),
            tag('title', f'{title}, {run.budget}'),
            tag('style', Html(CSS)),
        ]
    )
    body = tag('body', tag('main', join(parts, '\n')))
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n{body}\n</html>\n'


def section(title: str, *content: Any) -> Html:
    return tag('section', tag('h2', title), *content)


def headline(run: Run) -> Html:
    config, data = run.config, run.data
    family = config['family']
    if config.get('encoder', {}).get('weights') == 'random':
        family = 'decoder beside an untrained encoder'
    title = tag(
        'h1',
        f'{family} on {data["name"]}: '
        + (
            f'{run.result["winner"]["accuracy"]:.2%} with {readable(run.result["winner"]["costs"]["params"])} parameters'
            if run.result
            else 'a search under way'
        ),
    )
    images = ', '.join(
        f'{data[name]:,} {told}'
        for name, told in (('train', 'to train'), ('search', 'to search'), ('test', 'to test'))
        if isinstance(data.get(name), int)
    )
    facts = tag(
        'p',
        f'Budget: {run.budget}. {data["name"]} has {data["classes"]} classes'
        + (f'; images: {images}' if images else '')
        + f'. Seed {config["seed"]}.',
        class_='facts',
    )
    if not run.result:
        done = ', '.join(run.finished) or 'none yet'
        return join(
            [
                title,
                facts,
                tag('p', f'This run is not finished. Stages done: {done}.', class_='verdict'),
            ]
        )
    models = (('Winner', 'winner', plots.WINNER), ('Hand-made', 'baseline', plots.BASELINE))
    cards, rows = [], []
    for name, key, color in models:
        model = run.result[key]
        low, high = wilson(model['correct'], model['images'])
        limits = dict(run.budget.limits)
        costs = [
            tag(
                'li',
                tag('b', f'{value:,.0f}'),
                f' {plots.UNITS.get(cost, cost)}',
                f' ({value / limits[cost]:.0%} of the budget)' if cost in limits else '',
            )
            for cost, value in model['costs'].items()
        ]
        cards.append(
            tag(
                'div',
                tag('h3', name),
                tag('p', f'{model["accuracy"]:.2%}', class_='big'),
                tag(
                    'p',
                    f'{model["correct"]:,} of {model["images"]:,} test images; 95% interval {low:.1%} to {high:.1%}',
                ),
                tag('ul', *costs),
                class_=f'card {key}',
            )
        )
        rows.append((name.lower(), model['accuracy'], (low, high), color))
    for name, model in run.result.get('references', {}).items():
        if 'accuracy' in model:
            rows.append(
                (name, model['accuracy'], wilson(model['correct'], model['images']), plots.BASELINE)
            )
    drawing = plots.panel(plots.draw_accuracies, rows, height=0.9 + 0.5 * len(rows))
    picture = figure('', drawing, 'Test accuracies with 95% intervals')
    return join(
        [
            title,
            facts,
            tag('div', *cards, picture, class_='panels'),
            tag('p', verdict(run.result), class_='verdict'),
            beside(run.result),
        ]
    )


def beside(result: dict[str, Any]) -> Html:
    """The frozen encoder, and what it reaches by itself."""
    if not result.get('encoder'):
        return Html()
    facts = result['encoder']
    warning = tag(
        'b',
        ' The encoder has random weights and was never trained: no accuracy here says anything of CLIP.',
    )
    told = tag(
        'p',
        f'The encoder: {facts["name"]}, frozen, in {facts["dtype"]}, {facts["source"]}; {readable(facts["params"])} '
        f'parameters and {readable(facts["macs"])} MACs an image beside the budget.',
        warning if facts['random'] else '',
    )
    rows = [
        (
            name,
            f'{model["accuracy"]:.2%} ({model["correct"]:,} of {model["images"]:,})'
            if 'accuracy' in model
            else 'not available',
            model['told'],
        )
        for name, model in result['references'].items()
    ]
    return join([told, table(['the same encoder by itself', 'test accuracy', 'what'], rows)])


def verdict(result: dict[str, Any]) -> str:
    """The difference between winner and baseline, and whether the test images can tell them apart."""
    pairs = [(result[key]['correct'], result[key]['images']) for key in ('winner', 'baseline')]
    low, difference, high = (100 * value for value in newcombe(*pairs))
    ratio = result['winner']['costs']['params'] / result['baseline']['costs']['params']
    size = f'{ratio:.0%} of' if ratio < 2 else f'{ratio:.1f} times'
    told = (
        f"The winner has {size} the hand-made model's parameters and its test accuracy is {abs(difference):.2f} points "
        f'{"higher" if difference >= 0 else "lower"}; the 95% interval of the difference is {signed(low)} to '
        f'{signed(high)}. '
    )
    if low <= 0 <= high:
        return told + (
            f'It contains 0: on {pairs[0][1]:,} test images this difference is within the noise, and how another '
            'seed would train comes on top.'
        )
    return (
        told
        + 'It does not contain 0: more than the noise of the test images. How another seed would train is not in it.'
    )


def signed(value: float) -> str:
    return f'{value:+.2f}'.replace('-', '−')


def wilson(correct: int, images: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% score interval of a proportion."""
    p, scale = correct / images, 1 + z**2 / images
    middle = (p + z**2 / (2 * images)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / images + z**2 / (4 * images**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """(low, difference, high) of two proportions, each (correct, images): Newcombe's hybrid score interval (1998, method 10).

    It takes the two samples for independent. Two models tested on the same images mostly err on the same ones, so that for
    them it is rather too wide than too narrow.
    """
    (p, q), ((p_low, p_high), (q_low, q_high)) = (
        (a / n for a, n in (one, other)),
        (wilson(*one), wilson(*other)),
    )
    return (
        p - q - math.hypot(p - p_low, q_high - q),
        p - q,
        p - q + math.hypot(p_high - p, q - q_low),
    )


def architectures(run: Run) -> Html:
    if not run.winner:
        return Html()
    searched = {re.sub(r'_\d+$', '', name) for name in run.config['space']}
    models = [
        ('Winner' if run.result else 'Best of the evolution, not tested yet', 'winner', run.winner)
    ]
    models += [('Hand-made', 'baseline', run.result['baseline'])] if run.result else []
    cards = (
        architecture(name, class_, model['architecture'], searched, run)
        for name, class_, model in models
    )
    long = any(
        isinstance(value, list) and len(value) > 8
        for _, _, model in models
        for value in model['architecture'].values()
    )
    told = 'A column is a block, or a stage of blocks. The darker a size, the higher it lies in the range of the last space.'
    return section(
        'The architectures',
        tag('p', told),
        tag('div', *cards, class_='panels one' if long else 'panels two'),
    )


def architecture(
    name: str, class_: str, arch: dict[str, Any], searched: set[str], run: Run
) -> Html:
    """Scalars as a line, lists as a strip with a column per block; the darker, the higher in the last space."""
    lists = {key: value for key, value in arch.items() if isinstance(value, list)}
    scalars = {key: value for key, value in arch.items() if key not in lists}
    known = [
        tag('b', f'{key} {readable(value)}') for key, value in scalars.items() if key in searched
    ]
    given = ', '.join(
        f'{key} {readable(value)}' for key, value in scalars.items() if key not in searched
    )
    line = tag('p', join(known, ', '), tag('span', f' · {given}' if given else '', class_='faint'))
    strips = []
    for length in sorted({len(value) for value in lists.values()}):
        unit = 'stage' if length == len(arch.get('depths', ())) else 'block'
        rows = [
            tag(
                'tr',
                tag('th', unit if length > 1 else ''),
                *(tag('th', k + 1) for k in range(length)),
            )
        ]
        for key, value in lists.items():
            if len(value) == length:
                low, high = bounds(key, value, run)
                levels = np.clip((np.array(value) - low) / (high - low or 1), 0, 1)
                cells = (
                    tag('td', readable(v), style=f'--level: {level:.2f}')
                    for v, level in zip(value, levels)
                )
                rows.append(tag('tr', tag('th', key), *cells))
        strips.append(tag('div', tag('table', *rows, class_='strip'), class_='wide'))
    return tag('div', tag('h3', name), line, *strips, class_=f'card {class_}')


def bounds(name: str, values: Sequence[float], run: Run) -> tuple[float, float]:
    """The range of a dimension in the last space, over its stages where each has its own."""
    found = [
        d
        for space in run.spaces[-1:]
        for d in space.dimensions
        if re.sub(r'_\d+$', '', d.name) == name
    ]
    return (
        (min(d.lower for d in found), max(d.upper for d in found))
        if found
        else (min(values), max(values))
    )


def spaces(run: Run) -> Html:
    if not run.trajectory:
        return Html()
    used, count = chosen(run), len(run.trajectory)
    panels = [
        figure(
            name,
            plots.panel(plots.draw_range, dimensions, used.get(name, ())),
            f'{name}: '
            + ', '.join(f'{plots.label(t)} {interval(d)}' for t, d in enumerate(dimensions)),
        )
        for name, dimensions in run.ranges.items()
    ]
    panels += [
        figure(
            f'{cost} of the largest model',
            plots.panel(plots.draw_sizes, cost, sizes(run)[cost], limit),
            f'{cost} of the largest model of each space against the budget',
        )
        for cost, limit in run.budget.limits
    ]
    costs = [name for name, _ in run.budget.limits]
    rows = []
    for t, (row, space) in enumerate(zip(run.trajectory, run.spaces)):
        move = join(
            (
                tag('span', tag('b', d.name), f' {moves(g, d)}, now {interval(d)}', class_='whole')
                for g, d in zip(row['gamma'], space.dimensions)
                if g
            ),
            '; ',
        )
        if t == 0:
            move = (
                join(['moved before training, to fit the budget: ', move]) if move else 'as given'
            )
        rows.append(
            [
                plots.label(t),
                move,
                '–' if row['cosine'] is None else f'{row["cosine"]:.3f}',
                *(
                    readable(row['largest'][name]) if name in row['largest'] else '–'
                    for name in costs
                ),
            ]
        )
    told = (
        f'{count - 1} move{"s" * (count != 2)} of the space. Each bar is the range of one dimension and each dot a choice'
        + ('; diamonds are what the winner uses.' if run.winner else '.')
    )
    return section(
        'How the space moved',
        tag('p', told),
        tag('div', *panels, class_='panels'),
        table(['space', 'move', 'cosine', *(f'largest {name}' for name in costs)], rows),
    )


def interval(dimension: Dimension) -> str:
    return readable(dimension.lower) + (
        f'–{readable(dimension.upper)}' if dimension.upper != dimension.lower else ''
    )


def moves(steps: int, dimension: Dimension) -> str:
    sign = '+' if steps > 0 else '−'
    return f'{sign}{abs(steps)} step{"s" * (abs(steps) > 1)} ({sign}{readable(abs(steps) * dimension.tau)})'


def gradients(run: Run) -> Html:
    if not run.steps:
        return Html()
    taus = {name: Dimension(name, **values).tau for name, values in run.config['space'].items()}
    measured = []
    for step in run.steps:
        scale = [taus[name] if step['units'] == 'tau' else 1 for name in step['slopes']['names']]
        measured.append([np.multiply(step['slopes'][key], scale) for key in ('mean', 'error')])
    ends = np.array([(np.min(mean - error), np.max(mean + error)) for mean, error in measured])
    low, high = min(0.0, ends[:, 0].min()), max(0.0, ends[:, 1].max())
    reach = low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1)
    panels, found = [], []
    for t, (step, (mean, error)) in enumerate(zip(run.steps, measured)):
        names, unit = step['slopes']['names'], 'step of τ' if step['units'] == 'tau' else 'unit'
        drawing = plots.panel(
            plots.draw_slopes,
            names,
            mean,
            error,
            step['gamma'],
            unit,
            reach,
            height=1 + 0.3 * len(names),
        )
        panels.append(
            figure(
                f'{plots.label(t)}, from {step["slopes"]["pairs"]} pairs',
                drawing,
                ', '.join(
                    f'{n} {100 * m:.2f} ± {100 * e:.2f}' for n, m, e in zip(names, mean, error)
                )
                + f' accuracy points per {unit}',
            )
        )
        found.append(neighbours(t, step))
    told = (
        'How the accuracy on the search split changes along each dimension, by the supernet of each space: mean and '
        'standard error over pairs of architectures that differ in that dimension alone.'
    )
    return section(
        'The accuracy gradient and the neighbours',
        tag('p', told),
        tag('div', *panels, class_='panels'),
        *found,
    )


def neighbours(t: int, step: dict[str, Any]) -> Html:
    """How many neighbours of a space were legal, and all of them in a table that opens."""
    names, candidates = (
        step['slopes']['names'],
        sorted(step['candidates'], key=lambda c: (-c['cosine'], c['gamma'])),
    )
    total, legal = 3 ** len(names) - 1, sum(c['rejected'] is None for c in candidates)
    costs = list(dict.fromkeys(name for c in candidates for name in c['costs'] or ()))
    seen = (
        f'{legal:,} of {total:,} neighbours legal'
        if len(candidates) == total
        else f'{len(candidates):,} of {total:,} neighbours looked at, best first, {legal:,} of them legal'
    )
    outcome = (
        f'stopped: {step["stopped"]}'
        if step['stopped']
        else f'the move has cosine {step["cosine"]:.3f}'
    )
    rows, classes = [], []
    for c in candidates:
        taken = c['gamma'] == step['gamma']
        rows.append(
            [
                *(plots.signed(g) for g in c['gamma']),
                f'{c["cosine"]:.3f}'.replace('-', '−'),
                *(readable(c['costs'][name]) if c['costs'] else '–' for name in costs),
                'chosen' if taken else c['rejected'] or 'legal',
            ]
        )
        classes.append('chosen' if taken else 'rejected' if c['rejected'] else 'legal')
    listed = table([*names, 'cosine', *costs, 'verdict'], rows, classes)
    return tag('details', tag('summary', f'{plots.label(t)}: {seen}; {outcome}'), listed)


def training(run: Run) -> Html:
    if not run.losses:
        return Html()
    supernets = {
        plots.label(order(name)[1]): curve
        for name, curve in run.losses.items()
        if order(name)[0] == 0
    }
    named = {'retrain': 'winner', 'baseline': 'hand-made'}
    alone = {named[name]: curve for name, curve in run.losses.items() if name in named}
    colors = [plots.WINNER if name == 'winner' else plots.BASELINE for name in alone]
    panels = []
    for caption, curves, palette in (
        ('Supernets', supernets, plots.colors(len(supernets))),
        ('Trained alone', alone, colors),
    ):
        if curves:
            panels.append(
                figure(
                    caption,
                    plots.panel(plots.draw_losses, curves, palette, width=4.3, height=2.7),
                    ', '.join(
                        f'{name}: {len(steps):,} steps, last loss {losses[-1]:.3f}'
                        for name, (steps, losses) in curves.items()
                    ),
                )
            )
    return section(
        'Training',
        tag('p', 'Loss of every step, faint, and its moving average.'),
        tag('div', *panels, class_='panels two'),
    )


def population(run: Run) -> Html:
    if not run.evolution:
        return Html()
    members, best, limits = run.evolution['members'], run.evolution['best'], dict(run.budget.limits)
    panels = [
        figure(
            f'Accuracy against {cost}',
            plots.panel(
                plots.draw_population, cost, members, best, limits.get(cost), width=4.3, height=3
            ),
            f'{len(members)} architectures; the winner: {best["accuracy"]:.2%} with {best["costs"][cost]:,.0f} {cost}',
        )
        for cost in (limits or ['params'])
    ]
    told = (
        f'{len(members):,} architectures of the last space scored with its supernet on the search split; the evolution '
        f'ended after {run.evolution["stopped"]}. The winner had {best["accuracy"]:.2%} and came by {best["origin"]} in '
        f'generation {best["generation"]}.'
    )
    return section('The evolution', tag('p', told), tag('div', *panels, class_='panels two'))


def settings(run: Run) -> Html:
    """The resolved config, a line for each value, as the flags of the command spell it."""
    lines = []

    def visit(value: Any, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                visit(inner, f'{path}.{key}' if path else str(key))
        else:
            lines.append(f'{path} = {json.dumps(value)}')

    visit(run.config, '')
    visit(run.data.get('digest'), 'data.digest')
    summary = tag('summary', f'The {len(lines)} resolved values')
    return section('Settings', tag('details', summary, tag('pre', '\n'.join(lines))))


CSS = """
:root { color-scheme: light; --winner: #D55E00; --baseline: #6b6b6b; --line: #dddddd; --faint: #666666 }
* { box-sizing: border-box }
body { margin: 0; background: #ffffff; color: #1c1c1c; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 1100px; margin: 0 auto; padding: 16px 20px 60px }
h1 { font-size: 28px; line-height: 1.25; margin: 20px 0 4px; text-wrap: balance }
h2 { font-size: 20px; margin: 40px 0 8px; padding-top: 20px; border-top: 1px solid var(--line) }
h3 { font-size: 15px; margin: 0 }
p { margin: 6px 0 12px; max-width: 84ch }
.facts, .faint { color: var(--faint) }
.verdict { border-left: 4px solid #0072B2; padding-left: 12px; margin: 16px 0 }
.panels { display: grid; gap: 16px 24px; margin: 12px 0 }
.panels { grid-template-columns: repeat(auto-fill, minmax(min(310px, 100%), 1fr)) }
.panels.two { grid-template-columns: repeat(auto-fill, minmax(min(450px, 100%), 1fr)) }
.panels.one { grid-template-columns: minmax(0, 1fr) }
.card { border: 1px solid var(--line); border-top-width: 4px; border-radius: 6px; padding: 12px 16px; min-width: 0 }
.card.winner { border-top-color: var(--winner) }
.card.baseline { border-top-color: var(--baseline) }
.card p, .card ul { margin: 4px 0; font-size: 14px }
.card ul { padding: 0; list-style: none }
.card .big { font-size: 34px; line-height: 1.2; font-weight: 600 }
figure { margin: 0; min-width: 0 }
figcaption { font-size: 14px; font-weight: 600; overflow-wrap: anywhere }
svg { display: block; width: 100%; height: auto; max-width: 560px }
.wide { overflow-x: auto; margin: 8px 0 }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid #eeeeee; vertical-align: top }
th { font-weight: 600; color: var(--faint); white-space: nowrap }
.number { text-align: right }
.number, .whole, details td { white-space: nowrap }
.strip th, .strip td { text-align: center; padding: 4px 8px; min-width: 38px; border: 2px solid #ffffff }
.strip th:first-child { text-align: left; padding-left: 0 }
.strip td { background: rgb(0 114 178 / calc(8% + 42% * var(--level))); border-radius: 5px }
details { margin: 8px 0; border: 1px solid var(--line); border-radius: 6px; padding: 0 14px }
summary { cursor: pointer; padding: 8px 0 }
details .wide { max-height: 480px; overflow: auto }
details thead th { position: sticky; top: 0; background: #ffffff }
tr.rejected td { color: var(--faint) }
tr.chosen td { background: #fdeee3; font-weight: 600 }
pre { overflow-x: auto; font-size: 13px; line-height: 1.45 }
@media print { details .wide { max-height: none } }
"""
