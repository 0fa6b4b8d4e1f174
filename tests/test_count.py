"""`python -m s4jax.count`: the published counts, and one line for every wrong input."""

import copy
import json
import sys

import pytest
from runs import ORACLES, run

from s4jax import count

VIT = dict(
    family='vit',
    image_size=32,
    channels=3,
    classes=10,
    patch=4,
    head_dim=16,
    embed_dim=48,
    depth=2,
    num_heads=[2, 3],
    mlp_ratio=[2.0, 3.5],
)
SWIN = dict(
    family='swin',
    image_size=32,
    classes=10,
    patch=2,
    window=4,
    embed_dim=12,
    depths=[1, 2],
    num_heads=[3, 6],
    mlp_ratio=[3.0, 3.5, 4.0],
)
SHUNTED = dict(
    family='shunted',
    image_size=32,
    classes=10,
    embed_dim=12,
    depths=[1, 1],
    num_heads=[2, 4],
    sr_ratios=[2, 1],
    mlp_ratio=[8.0, 4.0],
)
CLIP = dict(
    family='clip',
    image_size=32,
    classes=10,
    embed_dim=48,
    depth=2,
    num_heads=[2, 3],
    mlp_ratio=[2.0, 3.5],
)
SOUND = {'vit': VIT, 'swin': SWIN, 'shunted': SHUNTED, 'clip': CLIP}


def counted(path, capsys):
    """(exit code, lines on stdout, lines on stderr) of a count in this process."""
    code = count.main([f'--architecture={path}'])
    out, error = capsys.readouterr()
    return code, out.splitlines(), error.splitlines()


def refused(path, capsys):
    """The one line that a wrong input gets."""
    code, out, error = counted(path, capsys)
    assert (code, out, len(error)) == (2, [], 1), (code, out, error)
    assert error[0].startswith('s4jax: ') and len(error[0]) < 500 + len(str(path)), error
    return error[0]


@pytest.mark.parametrize('family', ['vit', 'swin', 'shunted'])
def test_the_published_counts(family, tmp_path, capsys):
    rows = json.loads((ORACLES / f'{family}_counts.json').read_text())
    path = tmp_path / 'rows.json'
    path.write_text(json.dumps([{'family': family, **row} for row in rows]))
    code, out, error = counted(path, capsys)
    assert (code, error) == (0, [])
    assert [json.loads(line) for line in out] == [
        {'params': row['params'], 'macs': row['macs']} for row in rows
    ]


def test_a_command_of_its_own_counts_one_architecture_or_a_list(vit_rows, tmp_path):
    path = tmp_path / 'rows.json'
    for rows, lines in ((vit_rows, len(vit_rows)), (vit_rows[0], 1)):
        path.write_text(json.dumps(rows))
        done = run([sys.executable, '-m', 's4jax.count', f'--architecture={path}'])
        assert done.returncode == 0 and len(done.stdout.splitlines()) == lines, done.stderr
    wrong = run([sys.executable, '-m', 's4jax.count', '--architecture=nowhere.json'])
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1
    assert 'No such file' in wrong.stderr and 'Traceback' not in wrong.stderr


@pytest.mark.parametrize('family', SOUND)
def test_sound_rows_count(family, tmp_path, capsys):
    path = tmp_path / 'row.json'
    path.write_text(json.dumps(SOUND[family]))
    code, out, error = counted(path, capsys)
    assert (code, len(out), error) == (0, 1, [])
    assert all(value > 0 for value in json.loads(out[0]).values())


# what a whole file may hold instead, and words of the line that says so
FILES = {
    'empty': (b'', 'is not JSON'),
    'space': (b' \n', 'is not JSON'),
    'cut off': (b'{', 'is not JSON'),
    'text': (b'vit', 'is not JSON'),
    'two rows': (b'{}\n{}', 'is not JSON'),
    'not UTF-8': (b'{"family": "v\xef\xff\xfet"}', 'is not text in UTF-8'),
    'binary': (bytes(range(256)), ''),
    'NaN': (b'{"family": "vit", "classes": NaN}', 'NaN is not a number'),
    'Infinity': (b'{"family": "vit", "classes": -Infinity}', '-Infinity is not a number'),
    'too many digits': (b'{"family": "vit", "classes": 1' + b'0' * 5000 + b'}', 'is not JSON'),
    'no row': (b'[]', 'holds an empty list'),
    'number': (b'3', 'must hold an object'),
    'null': (b'null', 'must hold an object'),
    'string': (b'"vit"', 'must hold an object'),
    'list of numbers': (b'[3]', 'must hold an object'),
    'list of lists': (b'[[{"family": "vit"}]]', 'must hold an object'),
    'no family': (b'{}', 'family is missing'),
    'unknown family': (b'{"family": "swim"}', "family='swim' is unknown; did you mean swin?"),
    'family is null': (b'{"family": null}', 'family=None is unknown; known: '),
    'family is a list': (b'{"family": ["vit"]}', "family=['vit'] is unknown"),
    'family is an object': (b'{"family": {}}', 'family={} is unknown'),
    'long family': (b'{"family": "' + b'v' * 10**5 + b'"}', 'is unknown'),
    'family alone': (b'{"family": "vit"}', 'missing'),
    'line break in a key': (b'{"family": "vit", "a\\n\\nb": 1}', ''),
    'half a character': (b'{"family": "\\ud800"}', 'is unknown'),
}


@pytest.mark.parametrize('name', FILES)
def test_files_that_are_wrong(name, tmp_path, capsys):
    content, words = FILES[name]
    path = tmp_path / 'row.json'
    path.write_bytes(content)
    assert words in refused(path, capsys)


@pytest.mark.parametrize('depth', [10, 300, 900, 1500, 5000, 100_000])
@pytest.mark.parametrize(
    'row',
    [
        '%s',
        '{"family": %s}',
        json.dumps(VIT | {'embed_dim': '%s'}).replace('"%s"', '%s'),
        json.dumps(VIT | {'mlp_ratio': '%s'}).replace('"%s"', '%s'),
    ],
    ids=['file', 'family', 'embed_dim', 'mlp_ratio'],
)
def test_deep_nesting(row, depth, tmp_path, capsys):
    path = tmp_path / 'row.json'
    path.write_text(row % ('[' * depth + ']' * depth))
    refused(path, capsys)


def test_paths_that_are_wrong(tmp_path, capsys):
    assert 'Is a directory' in refused(tmp_path, capsys)
    assert 'No such file' in refused(tmp_path / 'nowhere.json', capsys)
    (tmp_path / 'file').write_text('')
    assert 'Not a directory' in refused(tmp_path / 'file' / 'row.json', capsys)
    assert 'name too long' in refused(tmp_path / ('x' * 300), capsys)


def test_a_wrong_row_leaves_no_output_of_the_sound_ones(tmp_path, capsys):
    path = tmp_path / 'rows.json'
    path.write_text(json.dumps([VIT, SWIN, VIT | {'classes': -1}]))
    assert 'classes' in refused(path, capsys)


WRONG = [  # no field of an architecture may have one of these
    None,
    True,
    False,
    '',
    'many',
    {},
    {'0': 1},
    [],
    [[1]],
    [None],
    ['many'],
    -1,
    1e300,
    float('1e999'),
    10**400,
    [-1, -1],
    [1e300, 1e300],
    [10**400, 10**400],
    [0.5, 'x'],
]


@pytest.mark.parametrize('family', SOUND)
def test_every_field_refuses_what_it_cannot_be(family, tmp_path, capsys):
    path, cases = tmp_path / 'row.json', 0
    for field in set(SOUND[family]) - {'family'}:
        for value in WRONG:
            row = copy.deepcopy(SOUND[family]) | {field: value}
            path.write_text(json.dumps(row).replace('Infinity', '1e999'))
            line = refused(path, capsys)
            assert field in line or 'architecture' in line, (field, value, line)
            cases += 1
    assert cases > 100


@pytest.mark.parametrize(
    'family, changes, words',
    [
        ('vit', {'classes': 1.5}, 'classes'),
        ('vit', {'classes': 0}, 'classes'),
        ('vit', {'classes': [10]}, 'classes'),
        ('vit', {'embed_dim': 48.5}, 'embed_dim'),
        ('vit', {'num_heads': 3}, 'num_heads'),
        ('vit', {'num_heads': [2, 2.5]}, 'num_heads'),
        ('vit', {'num_heads': [2, 2, 2]}, 'num_heads'),
        ('vit', {'mlp_ratio': 4.0}, 'mlp_ratio'),
        ('vit', {'mlp_ratio': [2.0]}, 'mlp_ratio'),
        ('vit', {'depth': 3}, 'depth'),
        ('vit', {'depth': 10**9}, 'depth'),
        ('vit', {'patch': 5}, 'patch'),
        ('vit', {'image_size': 33}, 'image_size'),
        ('vit', {'head_width': 16}, 'head_width'),
        ('swin', {'depths': 3}, 'depths'),
        ('swin', {'depths': [3]}, 'depths'),
        ('swin', {'depths': [1, 0]}, 'depths'),
        ('swin', {'embed_dim': 13}, 'embed_dim'),
        ('swin', {'image_size': 31}, 'image_size'),
        ('swin', {'num_heads': []}, 'num_heads'),
        ('shunted', {'sr_ratios': [2]}, 'sr_ratios'),
        ('shunted', {'sr_ratios': [1, 3]}, 'sr_ratio'),
        ('clip', {'cross_heads': 7}, 'cross_heads'),
    ],
)
def test_fields_that_do_not_fit_each_other(family, changes, words, tmp_path, capsys):
    path = tmp_path / 'row.json'
    path.write_text(json.dumps(SOUND[family] | changes))
    assert words in refused(path, capsys)


@pytest.mark.parametrize(
    'arguments, words',
    [
        ([], '--architecture is missing'),
        (['--architecture'], '--architecture needs a value'),
        (['--architectur=x'], 'did you mean --architecture?'),
        (['--arch=x'], '--arch is unknown'),
        (['--architecture=x', '--verbose'], '--verbose is unknown'),
        (['--architecture=x', 'y'], "'y' is not a flag"),
        (['x'], ''),
        (['--architecture='], 'cannot be read'),
    ],
)
def test_command_lines_that_are_wrong(arguments, words, capsys):
    assert count.main(arguments) == 2
    out, error = capsys.readouterr()
    assert not out and error.startswith('s4jax: ') and len(error.splitlines()) == 1, error
    assert words in error


def test_help_is_for_people(capsys):
    with pytest.raises(SystemExit) as ended:
        count.main(['--help'])
    assert ended.value.code == 0
    assert '--architecture' in capsys.readouterr().out
