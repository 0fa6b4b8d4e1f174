"""What `make docs` does beside the plugins of mkdocs.

Pages are listed by pattern, equations become MathML, and a page that would fetch something from
another place is refused. mkdocs calls the functions whose names begin with `on_`.
"""

import fnmatch
import html.parser
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

ELSEWHERE = re.compile(r'\s*(?:https?:)?//', re.IGNORECASE)
# what a browser fetches by itself: tag -> attributes. Links to click on are free.
FETCHED = {
    'audio': ('src',),
    'embed': ('src',),
    'iframe': ('src',),
    'img': ('src', 'srcset'),
    'input': ('src',),
    'link': ('href',),
    'object': ('data',),
    'script': ('src',),
    'source': ('src', 'srcset'),
    'track': ('src',),
    'video': ('src', 'poster'),
}
NOT_FETCHED = {'alternate', 'author', 'canonical', 'license', 'next', 'prev'}  # kinds of <link>
IN_CSS = re.compile(r'(?:url\(|@import)\s*["\']?\s*((?:https?:)?//[^"\')\s;]+)', re.IGNORECASE)
IN_SCRIPT = re.compile(r'(?:https?:)?//[\w-]+(?:\.[\w-]+)+', re.IGNORECASE)


def on_config(config: Any) -> Any:
    """Fills in the patterns of the nav, and draws blocks of ```math."""
    folder = pathlib.Path(config.docs_dir)
    config.nav = expand(config.nav, pages(folder))
    fences = config.mdx_configs.setdefault('pymdownx.superfences', {})
    fences.setdefault('custom_fences', []).append(
        {'name': 'math', 'class': 'math', 'format': equation}
    )
    return config


def on_post_build(config: Any) -> None:
    """Fails where a built page would fetch something from another place."""
    from mkdocs.exceptions import PluginError

    site = pathlib.Path(config.site_dir)
    for path in sorted(site.rglob('*')):
        if path.suffix in ('.html', '.css', '.svg'):
            text = path.read_text(encoding='utf-8')
            found = in_css(text) if path.suffix == '.css' else in_page(text)
            for address in found:
                raise PluginError(f'{path.relative_to(site)} fetches {address}')


def pages(folder: pathlib.Path) -> list[str]:
    """The Markdown files below a folder, as mkdocs names them."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.md'))


def expand(nav: Sequence[Any], names: Iterable[str]) -> list[Any]:
    """The nav with each pattern replaced by the pages that match it and are listed nowhere else.

    Sections that are empty then are left out.
    """
    left = sorted(set(names) - set(listed(nav)))

    def visit(items: Sequence[Any]) -> list[Any]:
        result: list[Any] = []
        for item in items:
            if isinstance(item, str) and '*' in item:
                found = fnmatch.filter(left, item)
                left[:] = [name for name in left if name not in found]
                result += found
            elif isinstance(item, dict):
                for title, value in item.items():
                    inside = visit(value) if isinstance(value, list) else value
                    result += [{title: inside}] if inside else []
            else:
                result.append(item)
        return result

    return visit(nav)


def listed(nav: Sequence[Any]) -> Iterator[str]:
    """Every page and pattern of a nav, in order."""
    for item in nav:
        for value in item.values() if isinstance(item, dict) else [item]:
            if isinstance(value, list):
                yield from listed(value)
            else:
                yield value


def equation(source: str, *_: Any, **options: Any) -> str:
    """LaTeX as MathML, which browsers draw by themselves."""
    from latex2mathml import converter

    return f'<div class="math">{converter.convert(source.strip(), display="block")}</div>'


class Fetches(html.parser.HTMLParser):
    """`found`: the addresses elsewhere that a browser fetches when it shows the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ''

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or '' for name, value in attrs}
        self._inside = tag
        self.found += in_css(given.get('style', ''))
        if tag == 'link' and set(given.get('rel', '').split()) & NOT_FETCHED:
            return
        if 'mermaid' in given.get('class', '').split():  # the theme fetches its renderer
            self.found.append('a renderer for mermaid')
        for name in FETCHED.get(tag, ()):
            parts = given.get(name, '').split(',') if name == 'srcset' else [given.get(name, '')]
            self.found += [part.strip() for part in parts if ELSEWHERE.match(part)]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ''

    def handle_data(self, data: str) -> None:
        if self._inside == 'style':
            self.found += in_css(data)
        elif self._inside == 'script':
            self.found += IN_SCRIPT.findall(data)


def in_page(text: str) -> list[str]:
    """What a page of HTML fetches from elsewhere."""
    parser = Fetches()
    parser.feed(text)
    parser.close()
    return parser.found


def in_css(text: str) -> list[str]:
    """What a style sheet fetches from elsewhere."""
    return IN_CSS.findall(text)
