"""How the run was started, and how long each phase took."""

from s4jax.report.html import Html, section, table, tag
from s4jax.report.reading import Run, order

TEXT = (
    'Seconds of each phase, compilation included, summed over all sessions where the run was '
    'stopped and went on. Images: those trained on; in explore, evolve and test those scored, once '
    'for each subnet or model.'
)


def time(run: Run) -> Html:
    timing = run.timing
    if not (timing.seconds or timing.commands):
        return Html()
    facts = [
        *(tag('pre', command, class_='command') for command in timing.commands),
        *(tag('p', f'Device: {devices}.') for devices in timing.devices),
    ]
    parts = [*facts]
    if timing.seconds:
        rows = [
            (phase, duration(seconds), f'{timing.images[phase]:,.0f}', rate(run, phase))
            for phase, seconds in sorted(timing.seconds.items(), key=lambda row: order(row[0]))
        ]
        total = 'all', duration(sum(timing.seconds.values())), '–', '–'
        head = ['phase', 'time', 'images', 'images a second']
        parts += [tag('p', TEXT), table(head, [*rows, total], [''] * len(rows) + ['sum'])]
    return section('Time', *parts, class_='own')


def rate(run: Run, phase: str) -> str:
    seconds, images = run.timing.seconds[phase], run.timing.images[phase]
    return f'{images / seconds:,.0f}' if seconds and images else '–'


def duration(seconds: float) -> str:
    """1:02:03 for 3,723 seconds, 2:03 for 123."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
