"""The page of a finished run: one file, the same bytes each time, and no markup from outside."""

import json
import re
import shutil
import types

from s4jax.models import FAMILIES, vit
from s4jax.report import page


def test_written_twice_is_the_same_to_the_byte(workdir):
    first = [(workdir / name).read_bytes() for name in ('report.html', 'report.png')]
    page.write(workdir)
    assert [(workdir / name).read_bytes() for name in ('report.html', 'report.png')] == first
    assert not list(workdir.glob('.*'))


def test_page_is_one_file_without_network_and_script(workdir, parsed):
    text = (workdir / 'report.html').read_text()
    words = parsed(text)
    assert not [
        row
        for row in words.attributes
        if row[1] in ('src', 'srcset') or row[0] in ('script', 'link', 'iframe')
    ]
    references = [value for _, key, value in words.attributes if key.endswith('href')]
    ids = [value for _, key, value in words.attributes if key == 'id']
    embedded = {r for r in references if r.startswith('data:')}
    assert set(references) <= {f'#{name}' for name in ids} | embedded
    assert 'url(http' not in text and '@import' not in text


def test_the_sections_in_their_order(workdir):
    assert re.findall('<h2>(.*?)</h2>', (workdir / 'report.html').read_text()) == [
        'Using the winner',
        'The architectures',
        'How the space moved',
        'The accuracy gradient and the neighbours',
        'Training',
        'The evolution',
        'Time',
        'Settings',
    ]


HOSTILE = '<script>alert("1")</script>&amp;$x_1$</svg>'


def test_hostile_strings_are_text(tmp_path, workdir, steps, parsed, monkeypatch):
    """Wherever a string can come from: the data's name, the family, a dimension, the reason of a
    rejection, an origin, why the evolution ended."""

    def from_json(row):
        return vit.Architecture.from_json({k.replace(HOSTILE, 'embed_dim'): row[k] for k in row})

    family = types.SimpleNamespace(Architecture=types.SimpleNamespace(from_json=from_json))
    monkeypatch.setitem(FAMILIES, HOSTILE, family)
    hostile = json.dumps(HOSTILE)[1:-1]
    names = 'embed_dim|digits|vit|crossover|mutation|random|generations'
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob('*.json'):
        text = re.sub('"rejected": "[^"]*', '"rejected": "generations', path.read_text())
        path.write_text(re.sub(names, lambda _: hostile, text))
    page.write(tmp_path)
    text = (tmp_path / 'report.html').read_text()
    assert '<script' not in text and text.count('</svg>') == text.count('<svg')
    rejected = sum(c['rejected'] is not None for step in steps for c in step['candidates'])
    assert str(parsed(text)).count(HOSTILE) > rejected > 0
