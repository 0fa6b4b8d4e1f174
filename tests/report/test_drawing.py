"""What all figures share."""

import re

import matplotlib
import pytest

from s4jax.report import drawing


def draw(axes, text):
    axes.plot([0, 1], [0, 1])
    axes.set_title(text)


def test_a_panel_is_the_same_to_the_byte_whatever_the_user_has_set():
    with drawing.style():
        first = drawing.panel(draw, 'title')
    with matplotlib.rc_context({'font.size': 30, 'svg.hashsalt': 'other'}):
        with drawing.style():
            assert drawing.panel(draw, 'title') == first
    assert first.startswith('<svg') and 'Date' not in first and '<metadata>' not in first
    assert 'id="figure' not in first and 'id="axes' not in first
    assert 'pt"' not in first[: first.index('>')]  # as wide as its container


def test_text_in_a_panel_is_text():
    with drawing.style():
        assert '&lt;script&gt;$x$' in drawing.panel(draw, '<script>$x$')


def test_names():
    assert [drawing.label(t) for t in (0, 1, 12)] == ['A₀', 'A₁', 'A₁₂']
    assert [drawing.signed(n) for n in (2, 0, -2)] == ['+2', '0', '−2']


@pytest.mark.parametrize('count', [1, 2, 9])
def test_a_color_for_each_space(count):
    assert len(set(drawing.colors(count))) == count


def scatter(axes, count):
    axes.plot(range(count), range(count), 'o', gid='first')
    axes.scatter(range(count), range(count), c=range(count), gid='second')


@pytest.mark.parametrize('count', [1, 2, 40])
def test_each_point_has_its_title(count):
    titles = {'second': [f'<{k}>' for k in range(count)], 'first': ['&'] * count}
    with drawing.style():
        text = drawing.panel(scatter, count, titles=titles)
    # matplotlib draws a collection before a line
    expected = [f'&lt;{k}&gt;' for k in range(count)] + ['&amp;'] * count
    assert re.findall('<g><title>(.*?)</title><(?:use|path) ', text) == expected
    assert text.count('<title>') == 2 * count
    with pytest.raises(ValueError, match='second has fewer points'):
        drawing.panel(scatter, count, titles={'second': ['x'] * 10_000})
