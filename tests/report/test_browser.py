"""The page in a real browser, at the width of a screen, of a telephone and of paper."""

import io
import re
import shutil

import browser
import numpy as np
import pytest
from PIL import Image

from s4jax.report import page

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason='no Chromium is installed: apt-get install chromium'
)


@pytest.fixture(scope='module')
def chromium(tmp_path_factory):
    found = browser.Browser(tmp_path_factory.mktemp('profile'))
    yield found
    found.close()


@pytest.fixture(scope='module')
def pages(finished, tmp_path_factory):
    """The page of a finished run, of one under way, and of one without a search."""
    workdir, found = finished[0], {'finished': finished[0]}
    for name, kept in (
        ('under way', r'config|journal|timing|metrics/supernet_0|phases/(supernet|explore)_0'),
        ('without a search', r'config|result|timing|metrics/(retrain|baseline)'),
    ):
        found[name] = tmp_path_factory.mktemp('run')
        for path in workdir.rglob('*.json*'):
            if re.match(kept, str(path.relative_to(workdir))):
                to = found[name] / path.relative_to(workdir)
                to.parent.mkdir(exist_ok=True)
                shutil.copy(path, to)
        page.write(found[name])
    return {name: folder / 'report.html' for name, folder in found.items()}


@pytest.mark.parametrize('name', ['finished', 'under way', 'without a search'])
@pytest.mark.parametrize('width', [1200, 400])
def test_nothing_overflows_complains_or_is_fetched(chromium, pages, tmp_path, name, width):
    chromium.open(pages[name], width)
    for opened in (False, True):
        chromium.value(f'document.querySelectorAll("details").forEach(d => d.open = {opened:d})')
        assert chromium.value(browser.SCROLLS) <= 0
        assert chromium.value(browser.WIDE) == []
    picture = chromium.picture()
    (tmp_path / f'{width}.png').write_bytes(picture)
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert('L'))
    assert abs(pixels.shape[1] - width) <= 20 and pixels.shape[0] > 1000  # a scroll bar is 15 wide
    assert len(np.unique(pixels)) > 50
    assert chromium.complaints() == []


def test_the_checks_find_what_they_look_for(chromium, tmp_path):
    bad = '<body><p style="width: 2000px">wide</p><img src="http://localhost:9/x.png">'
    (tmp_path / 'bad.html').write_text(bad + '<script>undefined.x</script>')
    chromium.open(tmp_path / 'bad.html', 400)
    assert chromium.value(browser.SCROLLS) > 0 and 'wide' in chromium.value(browser.WIDE)[0]
    found = chromium.complaints()
    assert any('Runtime.exceptionThrown' in row for row in found)
    assert any('localhost:9' in row for row in found if isinstance(row, str))


POINTED = """(() => {
  const points = [...document.querySelectorAll('svg g > title')].map(t => t.parentElement);
  const last = points.filter(g => g.textContent.startsWith('the winner, '))[0];
  last.scrollIntoView({block: 'center'});
  const box = last.getBoundingClientRect();
  const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return [points.length, hit.closest('g').querySelector('title').textContent];
})()"""


def test_a_point_tells_its_architecture(chromium, pages, result):
    chromium.open(pages['finished'], 1200)
    count, title = chromium.value(POINTED)
    assert count > 100
    params, depth = result.winner.costs['params'], result.winner.architecture['depth']
    assert f'{params:,} params' in title and f'depth {depth}' in title


def test_on_paper_nothing_is_cut_off(chromium, pages):
    chromium.open(pages['finished'], 690)  # A4 within its margins
    chromium.call('Emulation.setEmulatedMedia', media='print')
    try:
        chromium.value('document.querySelectorAll("details").forEach(d => d.open = true)')
        assert chromium.value(browser.SCROLLS) <= 0
    finally:
        chromium.call('Emulation.setEmulatedMedia', media='')
    printed = chromium.printed()
    assert printed.startswith(b'%PDF') and len(printed) > 50_000
