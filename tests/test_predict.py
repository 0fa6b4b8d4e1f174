"""`python -m s4jax.predict`: lines, CSV and exit codes."""

import csv
import io
import os
import shutil
import sys

import pytest
from PIL import Image
from runs import run

import s4jax
from s4jax import predict
from s4jax.data.sources import digits

pytestmark = pytest.mark.slow  # on the models of a whole run


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """A folder of five digits at several depths, and of files that are no images."""
    folder = tmp_path_factory.mktemp('images')
    (folder / 'b' / 'deep').mkdir(parents=True)
    (folder / '.hidden').mkdir()
    names = ['a.png', 'b/1.BMP', 'b/deep/x.webp', 'b/two\nlines.png', 'c.gif', '.hidden/h.png']
    for name, pixels in zip(names, digits().images):
        options = {'lossless': True} if name.endswith('webp') else {}
        Image.fromarray(pixels[..., 0]).save(folder / name, **options)
    (folder / 'notes.txt').write_text('')
    return folder


@pytest.fixture
def predicted(tiny_run, capsys):
    """`predicted(*arguments)`: (exit code, stdout, stderr) in this process."""

    def call(*arguments):
        code = predict.main([f'--run={tiny_run[0]}', *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def test_a_line_an_image_and_the_same_as_csv(images, predicted, tiny_run, tmp_path):
    table = tmp_path / 'found.csv'
    code, out, error = predicted(images, '--top=2', f'--csv={table}', images / 'a.png')
    assert code == 0, error
    lines = out.splitlines()
    names = ['a.png', 'b/1.BMP', 'b/deep/x.webp', 'b/two lines.png', 'c.gif', 'a.png']
    assert [line.split(': ')[0] for line in lines] == [f'{images}/{name}' for name in names]
    first = s4jax.load(tiny_run[0]).predict(images / 'a.png', top=2)[0]
    shares = [f'{name} {p:.1%}' for name, p in zip(first.classes, first.probabilities)]
    assert lines[0] == lines[-1] == f'{images}/a.png: {", ".join(shares)}'
    header, *rows = csv.reader(io.StringIO(table.read_text()))
    assert header == ['path', 'rank', 'class', 'probability'] and len(rows) == 12
    assert rows[0][:3] == [f'{images}/a.png', '1', first.classes[0]]
    assert float(rows[0][3]) == pytest.approx(first.probabilities[0], abs=1e-5)
    assert rows[6][0] == f'{images}/b/two\nlines.png'


def test_unreadable_files_are_named_and_passed_over(images, predicted, tmp_path):
    folder = tmp_path / 'some'
    shutil.copytree(images, folder)
    (folder / 'bad.jpg').write_bytes(b'no image')
    (folder / 'link.png').symlink_to('nowhere')
    code, out, error = predicted('--which=baseline', folder)
    assert code == 3 and len(out.splitlines()) == 5
    assert f's4jax: {folder}/bad.jpg cannot be read: it is not a PNG' in error
    assert f's4jax: {folder}/link.png cannot be read: No such file' in error
    assert '2 of 7 images cannot be read and are passed over' in error
    code, out, error = predicted(folder / 'bad.jpg', folder / 'notes.txt')
    assert (code, out) == (3, '') and 'the file is empty' in error


def test_more_than_a_batch(images, predicted):
    code, out, _ = predicted(*[images / 'a.png', images / 'c.gif'] * 50)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 100 and len(set(lines)) == 2


@pytest.mark.parametrize(
    'arguments, words',
    [
        ([], 'no image is named; write python -m s4jax.predict'),
        (['nowhere.png'], 'nowhere.png is not a file or a folder'),
        (['a\0b'], 'is not a file or a folder'),
        (['x' * 300], 'cannot be read: File name too long'),
        (['EMPTY'], 'holds no image (.png, '),
        (['IMAGE', '--top=0'], '--top=0 must be a whole number from 1'),
        (['IMAGE', '--top=few'], "--top='few'"),
        (['IMAGE', '--which=best'], "--which='best' must be one of 'winner', 'baseline'"),
        (['IMAGE', '--tops=1'], '--tops is unknown; did you mean --top?'),
        (['IMAGE', '--csv=EMPTY'], 'is a folder; write the path of a file'),
        (['IMAGE', '--csv=EMPTY/no/x.csv'], 'does not exist; make it first'),
        (['IMAGE', '--run=EMPTY'], 'holds no run'),
        (['IMAGE', '--run='], "--run=''"),
        (['IMAGE', '--run=EMPTY/rums'], 'is not a folder'),
    ],
)
def test_mistakes_are_one_line(arguments, words, images, predicted, tmp_path):
    places = {'IMAGE': str(images / 'a.png'), 'EMPTY': str(tmp_path)}
    for name, path in places.items():
        arguments = [argument.replace(name, path) for argument in arguments]
    code, out, error = predicted(*arguments)
    assert (code, out) == (2, '') and len(error.splitlines()) == 1, error
    assert error.startswith('s4jax: ') and words in error, error
    assert not any(tmp_path.iterdir())


def test_without_a_run(capsys):
    assert predict.main(['a.png']) == 2
    assert '--run is missing' in capsys.readouterr().err


def test_the_command(images, tiny_run):
    """A process of its own, over two devices: the same lines; and no device, in one line."""
    command = [sys.executable, '-m', 's4jax.predict', str(images), f'--run={tiny_run[0]}']
    two = f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count=2'
    outs = [run(command, XLA_FLAGS=flags) for flags in (os.environ['XLA_FLAGS'], two)]
    assert outs[0].returncode == 0 and 'Traceback' not in outs[0].stderr, outs[0].stderr
    assert outs[0].stdout == outs[1].stdout and len(outs[0].stdout.splitlines()) == 5
    assert 'predicting: 100%' in outs[0].stderr
    none = run(command, JAX_PLATFORMS='toaster')
    assert none.returncode == 2 and len(none.stderr.splitlines()) == 1, none.stderr
    assert 'JAX finds no device' in none.stderr


def test_help_names_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as ended:
        predict.main(['--help'])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and '3 where images could not be read' in ' '.join(out.split())
    assert all(f'--{flag}' in out for flag in ('run', 'which', 'top', 'csv'))
