"""The latency of the final models: the sum that the search judged by, and the whole as measured."""

from s4jax.report.html import Html, section, table, tag
from s4jax.report.reading import Run

TEXT = (
    'The search judges a model by the sum of the times of its blocks, each measured by itself on '
    'this device ({device}, batches of {batch}, {dtype}). Here the final models were measured '
    'as wholes, with nothing else to do: the difference is the error of the sum.'
)
NAMES = {'baseline': 'hand-made'}


def latency(run: Run) -> Html:
    found = run.latency
    if found is None:
        return Html()
    rows = [
        (
            NAMES.get(name, name),
            f'{summed:.4g} ms',
            f'{found["measured"][name]:.4g} ms',
            f'{summed / found["measured"][name] - 1:+.1%}',
        )
        for name, summed in found['summed'].items()
    ]
    head = ['model', 'sum of its blocks', 'measured', 'error of the sum']
    text = tag('p', TEXT.format(**found['facts']))
    return section('Latency', text, table(head, rows), class_='own')
