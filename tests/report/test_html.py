"""Markup: what is text is escaped, what is markup is not."""

from s4jax.report.html import Html, figure, join, table, tag


def test_text_is_escaped_and_markup_is_not():
    text = '<b>"&"</b>'
    assert tag('p', text) == '<p>&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;</p>'
    assert tag('p', Html('<b>x</b>'), 3) == '<p><b>x</b>3</p>'
    assert tag('p', class_='a"b') == '<p class="a&quot;b"></p>'
    assert join(['<', Html('<br>'), '>'], ', ') == '&lt;, <br>, &gt;'
    assert isinstance(join([]), Html)


def test_columns_of_numbers_are_right_aligned():
    found = table(['name', 'size'], [['a', '+1.2k'], ['b', '–']], ['chosen', ''])
    assert '<tr class="chosen"><td>a</td><td class="number">+1.2k</td></tr>' in found
    assert '<tr><td>b</td><td class="number">–</td></tr>' in found
    assert '<th>name</th><th class="number">size</th>' in found
    assert 'number' not in table(['size'], [['1'], ['one']])


def test_a_figure_has_its_description():
    found = figure('caption', '<svg></svg>', 'a "description"')
    assert '<figcaption>caption</figcaption>' in found and '<svg></svg>' in found
    assert 'aria-label="a &quot;description&quot;"' in found
    assert 'figcaption' not in figure('', '<svg></svg>', '')
