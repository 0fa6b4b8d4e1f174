"""The sizes of the winner and of the hand-made model, block by block."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s4jax.report.html import Html, join, section, tag
from s4jax.report.reading import Run
from s4jax.search.budget import readable
from s4jax.search.space import parse_name

LONG = 8  # blocks; two longer architectures do not fit side by side
TEXT = (
    'A column is a block, or a stage of blocks. '
    'The darker a size, the higher it lies in the range that the search ended with.'
)


def architectures(run: Run) -> Html:
    if run.result:
        shown = [
            ('Winner', 'winner', run.result.winner.architecture),
            ('Hand-made', 'baseline', run.result.baseline.architecture),
        ]
    elif run.evolution:
        best = run.evolution.best.architecture.to_json()
        shown = [('Best of the evolution, not tested yet', 'winner', best)]
    else:
        return Html()
    cards = [architecture(name, class_, arch, run) for name, class_, arch in shown]
    values = [value for _, _, arch in shown for value in arch.values()]
    long = any(isinstance(value, list) and len(value) > LONG for value in values)
    panels = tag('div', *cards, class_='panels one' if long else 'panels two')
    return section('The architectures', tag('p', TEXT), panels)


def architecture(name: str, class_: str, arch: Mapping[str, Any], run: Run) -> Html:
    """Single sizes as a line, then a strip for all lists of one length, a column per block."""
    searched = {parse_name(name)[0] for name in run.config['space']}
    lists = {key: value for key, value in arch.items() if isinstance(value, list)}
    single = {key: f'{key} {readable(arch[key])}' for key in arch if key not in lists}
    bold = [tag('b', text) for key, text in single.items() if key in searched]
    given = ', '.join(text for key, text in single.items() if key not in searched)
    line = tag('p', join(bold, ', '), tag('span', f' · {given}' if given else '', class_='faint'))
    strips = []
    for length in sorted({len(value) for value in lists.values()}):
        unit = 'stage' if length == len(arch.get('depths', ())) else 'block'
        equal = {key: value for key, value in lists.items() if len(value) == length}
        strips.append(strip(unit if length > 1 else '', equal, run))
    return tag('div', tag('h3', name), line, *strips, class_=f'card {class_}')


def strip(unit: str, lists: Mapping[str, Sequence[float]], run: Run) -> Html:
    """Lists of one length as rows of cells; the darker a cell, the higher in the last space."""
    length = len(next(iter(lists.values())))
    rows = [tag('tr', tag('th', unit), *(tag('th', k + 1) for k in range(length)))]
    for key, values in lists.items():
        low, high = bounds(key, values, run)
        levels = np.clip((np.array(values) - low) / (high - low or 1), 0, 1)
        cells = (
            tag('td', readable(value), style=f'--level: {level:.2f}')
            for value, level in zip(values, levels)
        )
        rows.append(tag('tr', tag('th', key), *cells))
    return tag('div', tag('table', *rows, class_='strip'), class_='wide')


def bounds(name: str, values: Sequence[float], run: Run) -> tuple[float, float]:
    """The range of a size in the last space, over all stages; else that of the values."""
    found = [d for space in run.spaces[-1:] for d in space.dimensions if d.base == name]
    if not found:
        return min(values), max(values)
    return min(d.lower for d in found), max(d.upper for d in found)
