"""The command `python -m s4jax.data`: what is right, and everything that can be wrong with it."""

import os

import images
import pytest

from s4jax.data import __main__ as command

PREPARE = ['prepare', '--name=folder', '--root=ROOT/mine']
INSPECT = ['inspect', '--name=folder', '--root=ROOT/mine']
CIFAR = ['prepare', '--name=cifar10']
NUMBER = 'must be a whole number'
NAME = 'write digits, folder or the name of a dataset'
LONG = 'a' * 300

WRONG = [
    # commands and flags
    ([], 'the command is missing; write one of prepare, inspect'),
    (['prepair'], "the command 'prepair' is unknown; did you mean prepare?"),
    (['--name=digits'], 'the command is missing; write one of prepare, inspect'),
    (['prepare'], '--name is missing; write --name=VALUE'),
    (['prepare', '--nmae=digits'], '--nmae is unknown; did you mean --name?'),
    (['prepare', '--name'], '--name needs a value; write --name=VALUE'),
    (['prepare', '--name', '--root=ROOT'], '--name needs a value'),
    (['inspect', '--name=digits', '--seed'], '--seed needs a value'),
    ([*PREPARE, '--storage_size=8'], '--storage_size is unknown; did you mean --storage-size?'),
    ([*PREPARE, '--stor=8'], '--stor is unknown'),
    ([*PREPARE, '--seed=1'], '--seed is unknown'),
    ([*PREPARE, '--archives=x'], '--archives is unknown; did you mean --archive?'),
    ([*PREPARE, '-x'], '-x is unknown'),
    ([*PREPARE, 'storage-size=8'], 'is not a flag; did you mean --storage-size=8?'),
    ([*PREPARE, 'more'], "'more' is not a flag; flags are written --NAME=VALUE"),
    ([*PREPARE, '--any-checksum=yes'], '--any-checksum takes no value'),
    # names
    (['prepare', '--name='], NAME),
    (['prepare', '--name=..'], NAME),
    (['prepare', '--name=../../etc'], NAME),
    (['prepare', '--name=a/../b'], NAME),
    (['prepare', '--name=/etc/passwd'], NAME),
    (['prepare', '--name=two words'], NAME),
    (['prepare', '--name=a\nb'], NAME),
    (['prepare', '--name=a\x00b'], NAME),
    (['prepare', f'--name={LONG}'], NAME),
    (['prepare', '--name=huggingface:mnist'], NAME),
    (['prepare', '--name=cifar1O'], "data.name='cifar1O' is not a dataset; near: cifar10"),
    (['inspect', '--name=tiny_imagnet'], 'near: tiny_imagenet'),
    (['prepare', '--name=mnist/nothing'], "data.name='mnist/nothing' is not a dataset"),
    (['prepare', '--name=mnist:99.0.0'], "data.name='mnist:99.0.0' is not a dataset"),
    (['prepare', '--name=mnist/x=3'], "data.name='mnist/x=3' is not a dataset"),
    (['prepare', '--name=coco'], 'TFDS needs more to prepare coco'),
    (['inspect', '--name=cifar10'], 'cifar10 is not prepared in'),
    # roots
    (['prepare', '--name=folder'], "--root='' is missing where name='folder'"),
    (['prepare', '--name=folder', '--root='], '--root'),
    (['prepare', '--name=folder', '--root=ROOT/mime'], 'is not a folder; near: mine'),
    (['prepare', '--name=folder', '--root=ROOT/file'], 'is a file; write the path of a folder'),
    (['prepare', '--name=folder', '--root=ROOT/file/below'], 'is not a folder'),
    (['prepare', '--name=folder', f'--root=ROOT/{LONG}'], 'File name too long'),
    (['prepare', '--name=folder', '--root=~nobody-of-this-name'], 'is not a path that can be read'),
    (['prepare', '--name=folder', '--root=a\x00b'], 'control characters'),
    (['prepare', '--name=folder', '--root=ROOT/empty'], 'holds 0 folders of images'),
    ([*CIFAR, '--root=ROOT/file'], 'is a file; write the path of a folder'),
    ([*CIFAR, '--root=ROOT/file/below'], 'cannot be written'),
    ([*CIFAR, f'--root=ROOT/{LONG}'], 'File name too long'),
    (['inspect', '--name=cifar10', '--root=ROOT/file'], 'is a file'),
    # sizes and seeds
    ([*PREPARE, '--storage-size=0'], NUMBER),
    ([*PREPARE, '--storage-size=-8'], NUMBER),
    ([*PREPARE, '--storage-size', '-8'], NUMBER),
    ([*PREPARE, '--storage-size=4097'], NUMBER),
    ([*PREPARE, '--storage-size=1e9'], NUMBER),
    ([*PREPARE, '--storage-size=8.5'], NUMBER),
    ([*PREPARE, '--storage-size=nan'], NUMBER),
    ([*PREPARE, '--storage-size='], NUMBER),
    ([*PREPARE, '--storage-size=large'], NUMBER),
    ([*INSPECT, '--seed=-1'], NUMBER),
    ([*INSPECT, '--seed=1e30'], NUMBER),
    ([*INSPECT, '--seed=2147483648'], NUMBER),
    ([*INSPECT, '--seed=0.5'], NUMBER),
    ([*INSPECT, '--seed=x'], NUMBER),
    ([*INSPECT, '--seed=inf'], NUMBER),
    # archives
    ([*CIFAR, '--archive='], '--archive= is empty'),
    ([*CIFAR, '--archive=ROOT'], 'is a folder; write the path of the archive in it'),
    ([*CIFAR, '--archive=ROOT/fiel'], 'is not a file; near: file'),
    ([*CIFAR, f'--archive=ROOT/{LONG}'], 'File name too long'),
    ([*CIFAR, '--archive=ROOT/file/below'], 'is not a file'),
    ([*CIFAR, '--archive=a\x00b'], 'is not a path that can be read'),
    ([*CIFAR, '--any-checksum'], '--any-checksum is used with --archive=FILE only'),
    (['prepare', '--name=digits', '--archive=ROOT/file'], 'is not used with --name=digits'),
    # contact sheets
    ([*INSPECT, '--sheet='], '--sheet= is not a file'),
    ([*INSPECT, '--sheet=ROOT'], 'is not a file; write a path such as sheets/folder.png'),
    ([*INSPECT, '--sheet=ROOT/nowhere/sheet.png'], 'does not exist; make it first'),
    ([*INSPECT, '--sheet=ROOT/file/sheet.png'], 'does not exist; make it first'),
    ([*INSPECT, f'--sheet=ROOT/{LONG}.png'], 'File name too long'),
    ([*INSPECT, '--sheet=a\x00b'], 'is not a path that can be read'),
]


def everything_below(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob('*'))


@pytest.mark.parametrize('arguments, words', WRONG)
def test_a_wrong_command_line_is_one_line(tmp_path, monkeypatch, capfd, arguments, words):
    images.make_folder(tmp_path / 'mine', {'x': 6, 'y': 6})
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('no archive')
    monkeypatch.chdir(tmp_path)
    before = everything_below(tmp_path)
    assert command.main([a.replace('ROOT', str(tmp_path)) for a in arguments]) == 2
    out, err = capfd.readouterr()
    assert out == '' and err.startswith('s4jax: ') and err.count('\n') == 1, err
    assert words in err and 'Traceback' not in err
    assert everything_below(tmp_path) == before


def test_there_are_many_wrong_command_lines():
    assert len(WRONG) >= 60


@pytest.fixture
def closed(tmp_path, nobody):
    """A folder and files that an ordinary user may neither read nor write."""
    before = os.geteuid()
    os.seteuid(os.getuid())
    (tmp_path / 'closed').mkdir()
    (tmp_path / 'archive.tar.gz').write_text('no archive')
    (tmp_path / 'open').mkdir()
    (tmp_path / 'open').chmod(0o777)
    (tmp_path / 'open/sheet.png').write_text('')
    for name in ('closed', 'archive.tar.gz', 'open/sheet.png'):
        (tmp_path / name).chmod(0)
    os.seteuid(before)
    yield tmp_path
    os.seteuid(os.getuid())
    (tmp_path / 'closed').chmod(0o755)


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['inspect', '--name=digits', '--sheet=ROOT/closed/a.png'], 'Permission denied'),
        (['inspect', '--name=digits', '--sheet=ROOT/open/sheet.png'], 'to replace this file'),
        (['prepare', '--name=folder', '--root=ROOT/closed'], 'no permission to read this folder'),
        (['prepare', '--name=folder', '--root=ROOT/closed/a'], 'Permission denied'),
        ([*CIFAR, '--root=ROOT/closed'], 'no permission to read this folder'),
        ([*CIFAR, '--archive=ROOT/archive.tar.gz'], 'no permission to read this file'),
        ([*CIFAR, '--archive=ROOT/closed/a.tar.gz'], 'Permission denied'),
    ],
)
def test_what_is_not_permitted_is_one_line(closed, capfd, arguments, words):
    before = everything_below(closed)
    assert command.main([a.replace('ROOT', str(closed)) for a in arguments]) == 2
    out, err = capfd.readouterr()
    assert out == '' and err.startswith('s4jax: ') and err.count('\n') == 1, err
    assert words in err
    assert everything_below(closed) == before


@pytest.mark.parametrize('arguments', [['--help'], ['prepare', '--help'], ['inspect', '-h']])
def test_help_is_usage_for_people(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    out = capsys.readouterr().out
    assert end.value.code == 0 and 'usage: python -m s4jax.data' in out
    if arguments[0] != '--help':
        for flag in ('--name', '--root', '--storage-size', 'TensorFlow Datasets'):
            assert flag in out


def test_prepare_and_inspect(tmp_path, monkeypatch, capsys):
    images.make_folder(tmp_path / 'mine', {'x': 20, 'y': 20})
    monkeypatch.chdir(tmp_path)
    flags = ['--name=folder', '--root=mine', '--storage-size=8']
    assert command.main(['prepare', *flags]) == 0
    assert 'folder: 40 images of 2 classes in ' in capsys.readouterr().out
    assert command.main(['inspect', *flags, '--seed=3']) == 0
    assert 'folder.png: images of 2 classes' in capsys.readouterr().out
    assert (tmp_path / 'folder.png').is_file()
