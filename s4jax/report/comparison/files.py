"""What a comparison leaves: tables as Markdown and as a page, every run as a line of CSV."""

import csv
import importlib.resources
import io
import json
import pathlib
from collections.abc import Sequence

from s4jax.report.comparison.tables import Comparison, Table
from s4jax.report.html import Html, join, section, tag
from s4jax.report.html import table as html_table
from s4jax.report.page import META
from s4jax.runtime.files import write_text


def write(comparison: Comparison, folder: pathlib.Path, command: str) -> str:
    """Writes `comparison.md`, `.csv` and `.html`; returns the Markdown."""
    tables = comparison.tables()
    text = markdown(tables, command)
    write_text(folder / 'comparison.md', text)
    write_text(folder / 'comparison.csv', runs_csv(comparison))
    write_text(folder / 'comparison.html', page('Search methods compared', tables, command))
    return text


def markdown(tables: Sequence[Table], command: str) -> str:
    parts = [f'    {command}']
    for table in tables:
        lines = [table.head, ['---'] * len(table.head), *table.rows]
        drawn = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
        parts.append(f'## {table.title}\n\n{table.text}\n\n{drawn}')
    return '\n\n'.join(parts) + '\n'


def runs_csv(comparison: Comparison) -> str:
    """A line for each run, and one for each further space."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(
        'method seed model params macs correct images accuracy backtracks moves trained '
        'trained_over scored scored_over seconds architecture'.split()
    )
    for o in comparison.outcomes:
        spent = o.result.spent
        for name, model in {'winner': o.model, **o.result.spaces}.items():
            writer.writerow(
                [
                    o.method, o.seed, name, model.costs['params'], model.costs['macs'],
                    model.correct, model.images, model.accuracy, o.result.backtracks,
                    len(o.result.trajectory) - 1, spent.trained, spent.trained_over,
                    spent.scored, spent.scored_over, round(sum(o.seconds.values()), 1),
                    json.dumps(model.architecture),
                ]
            )  # fmt: skip
    return file.getvalue()


def page(title: str, tables: Sequence[Table], command: str) -> str:
    css = importlib.resources.files('s4jax.report').joinpath('style.css').read_text()
    head = join([META, tag('title', title), tag('style', Html(css))])
    parts = [section(t.title, tag('p', t.text), html_table(t.head, t.rows)) for t in tables]
    top = (tag('h1', title), tag('pre', command))
    body = tag('body', tag('main', *top, *parts))
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n{body}\n</html>\n'
