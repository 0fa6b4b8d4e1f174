"""The few elements that the page is made of. Text is escaped, markup is not."""

import html
import re
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup. Any other value is text and is escaped."""


def tag(name: str, *content: object, **attributes: str) -> Html:
    """An element; `class_` stands for class, as trailing underscores of attributes are dropped."""
    inside = join(content)
    written = ''.join(
        f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items()
    )
    return Html(f'<{name}{written}>{inside}</{name}>')


def join(parts: Iterable[object], between: str = '') -> Html:
    return Html(
        between.join(part if isinstance(part, Html) else html.escape(str(part)) for part in parts)
    )


def section(title: str, *content: object, class_: str = '') -> Html:
    """A part of the page; the class `own` marks what no other run shares, as times and paths."""
    return tag('section', tag('h2', title), *content, **({'class_': class_} if class_ else {}))


def defined(text: str) -> Html:
    """A text in which the terms that it explains, *written so*, stand out."""
    parts = text.split('*')
    return join(tag('dfn', part) if k % 2 else part for k, part in enumerate(parts))


def figure(caption: str, drawing: str, description: str) -> Html:
    """A drawing (SVG) below its caption; screen readers read the description."""
    image = tag('div', Html(drawing), role='img', **{'aria-label': description})
    return tag('figure', *([tag('figcaption', caption)] if caption else []), image)


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], classes: Iterable[str] = ()
) -> Html:
    """A table that scrolls sideways where it is too wide; columns of numbers are right-aligned.

    `classes` holds one class for each row.
    """
    rows = list(rows)
    numeric = [
        all(re.fullmatch(r'[+−]?[\d.,]+[kMG%]?|–', str(row[k])) for row in rows)
        for k in range(len(head))
    ]

    def line(cell: str, row: Sequence[object], class_: str = '') -> Html:
        cells = (
            tag(cell, value, **({'class_': 'number'} if right else {}))
            for value, right in zip(row, numeric)
        )
        return tag('tr', *cells, **({'class_': class_} if class_ else {}))

    classes = list(classes) or [''] * len(rows)
    top = tag('thead', line('th', head))
    body = tag('tbody', *(line('td', row, class_) for row, class_ in zip(rows, classes)))
    return tag('div', tag('table', top, body), class_='wide')
