"""One HTML page of a run: its result, what it is compared with, and how the search moved.

The page is one file that needs no network and no script. What a run has not done yet is left out.
Only the sections of class `own` hold times and paths: without them, two runs of the same config
give the same bytes.
"""

import importlib.resources
import pathlib

from s4jax.report import drawing
from s4jax.report.html import Html, join, tag
from s4jax.report.overview import overview
from s4jax.report.reading import Run, read
from s4jax.report.sections.architectures import architectures
from s4jax.report.sections.evolution import evolution
from s4jax.report.sections.front import front
from s4jax.report.sections.gradients import gradients
from s4jax.report.sections.headline import headline
from s4jax.report.sections.latency import latency
from s4jax.report.sections.settings import settings
from s4jax.report.sections.spaces import spaces
from s4jax.report.sections.time import time
from s4jax.report.sections.training import training
from s4jax.report.sections.using import using
from s4jax.runtime.files import write_bytes, write_text

PARTS = (
    headline,
    using,
    architectures,
    spaces,
    gradients,
    training,
    evolution,
    front,
    latency,
    time,
    settings,
)
META = Html(
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
)


def write(workdir: pathlib.Path) -> Run:
    """Writes `report.html` and, of a finished run that visited a space, `report.png`.

    Returns what it read of the run.
    """
    run = read(workdir)
    with drawing.style():
        write_text(workdir / 'report.html', page(run))
        if run.trajectory and run.result:
            write_bytes(workdir / 'report.png', drawing.png(overview(run)))
    return run


def page(run: Run) -> str:
    title = tag('title', f'{run.config["family"]} on {run.data["name"]}, {run.budget}')
    css = importlib.resources.files('s4jax.report').joinpath('style.css').read_text()
    head = join([META, title, tag('style', Html(css))])
    body = tag('body', tag('main', join((part(run) for part in PARTS), '\n')))
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n{body}\n</html>\n'
