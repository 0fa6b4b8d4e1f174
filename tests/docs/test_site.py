"""The docs site: every page is in the nav and says what it is for; nothing is fetched elsewhere.

`make docs` builds it, strictly; here is what needs no mkdocs.
"""

import importlib.util
import re

import pytest
import yaml
from blocks import ROOT, blocks
from test_house import STOREYS

DOCS = ROOT / 'docs'
SITE = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())
specification = importlib.util.spec_from_file_location('hooks', DOCS / 'hooks.py')
hooks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(hooks)
PAGES = hooks.pages(DOCS)


def test_every_page_is_in_the_nav_once():
    shown = list(hooks.listed(hooks.expand(SITE['nav'], PAGES)))
    assert sorted(shown) == PAGES
    assert {'index.md', 'config.md', 'how-to/own-images.md'} <= set(shown)


def test_a_pattern_takes_the_pages_that_are_listed_nowhere_else():
    nav = ['a.md', {'How to': ['h/z.md', 'h/*']}, {'Empty': ['x*']}, {'Rest': ['*', 'b.md']}]
    found = hooks.expand(nav, ['a.md', 'b.md', 'c.md', 'h/y.md', 'h/z.md'])
    assert found == ['a.md', {'How to': ['h/z.md', 'h/y.md']}, {'Rest': ['c.md', 'b.md']}]


@pytest.mark.parametrize('page', PAGES)
def test_a_page_says_at_its_top_what_it_is_for(page):
    title, empty, *rest = (DOCS / page).read_text().splitlines()
    assert re.match(r'# \w', title) and not empty
    # a sentence of plain text, not a heading, a table or a picture
    assert re.match(r'[A-Z`*]', rest[0]) and len(' '.join(rest[:3]).split()) > 8, rest[0]


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_to_files_that_exist(page):
    text = re.sub(r'^(`{3,}).*?^\1$', '', (DOCS / page).read_text(), flags=re.M | re.S)
    for target in re.findall(r'\]\(([^)#\s]+)', text):
        if '://' not in target:
            assert (DOCS / page).parent.joinpath(target).exists(), f'{page}: {target}'


def test_the_drawing_of_the_rooms_is_the_order_that_is_kept():
    page = (DOCS / 'architecture.md').read_text()
    drawing = blocks('architecture.md', page)[0].text
    rows = [' '.join(re.findall(r'[a-z_]+', line)) for line in drawing.splitlines()]
    places = [
        next((n for n, row in enumerate(rows) if ' '.join(names) in row), None) for names in STOREYS
    ]
    assert None not in places and places == sorted(places), places


def test_the_readme_links_to_files_that_exist():
    text = (ROOT / 'README.md').read_text()
    targets = [t for t in re.findall(r'\]\(([^)#\s]+)', text) if '://' not in t]
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_site_asks_for_nothing_elsewhere():
    """The settings of the theme that would fetch something; built pages are checked as built."""
    assert SITE['strict'] is True and SITE['theme']['font'] is False
    plugins = [name for p in SITE['plugins'] for name in (p if isinstance(p, dict) else [p])]
    assert set(plugins) == {'search', 'mkdocstrings'}
    assert not {'repo_url', 'site_url', 'extra_javascript', 'extra'} & set(SITE)


@pytest.mark.parametrize(
    'text, found',
    [
        ('<a href="https://a.org">a</a><link rel="canonical" href="https://a.org">', []),
        ('<img src="demo.png"><script src="a/b.js"></script><link rel=icon href=x.png>', []),
        ('<math xmlns="http://www.w3.org/1998/Math/MathML"></math>', []),
        ('<img src="https://a.org/x.png">', ['https://a.org/x.png']),
        ('<img srcset="x.png 1x, //a.org/y.png 2x">', ['//a.org/y.png 2x']),
        ('<script src=//a.org/x.js></script>', ['//a.org/x.js']),
        ('<link rel="preconnect stylesheet" href="HTTPS://a.org">', ['HTTPS://a.org']),
        ('<script>fetch("https://a.org/x")</script>', ['https://a.org']),
        ('<style>@import "https://a.org/x.css"</style>', ['https://a.org/x.css']),
        ('<p style="background: url(https://a.org/x)">', ['https://a.org/x']),
        ('<pre class="mermaid">', ['a renderer for mermaid']),
        ('<code>https://a.org</code>', []),
    ],
)
def test_what_a_page_fetches(text, found):
    assert hooks.in_page(text) == found


def test_what_a_style_sheet_fetches():
    assert hooks.in_css('a { background: url("x.svg") } /* https://a.org */') == []
    assert hooks.in_css("@font-face { src: url('//a.org/f.woff2') }") == ['//a.org/f.woff2']
