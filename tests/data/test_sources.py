"""From what a user has, a folder or an official archive, to arrays: every path, on small data, without a network."""

import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import images
import numpy as np
import pytest
from PIL import Image
from runs import ROOT

from s4jax import data
from s4jax.data import __main__ as command
from s4jax.data import inspect, prepared, sources
from s4jax.errors import UsageError
from s4jax.runtime.signals import Interrupted

CLASSES = {'ants': 40, 'bees': 30, 'cats': 20}


@pytest.fixture(autouse=True)
def own_data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))


@pytest.fixture
def folder(tmp_path):
    images.make_folder(tmp_path / 'mine', CLASSES)
    return tmp_path / 'mine'


def load(root, seed=0, size=16, **options):
    return data.load(name='folder', seed=seed, root=str(root), storage_size=size, **options)


def names(loaded, split):
    return {loaded.prepared.names()[i] for i in loaded.splits[split]}


# folders


def test_a_folder_of_classes(folder):
    (folder / 'ants' / 'more' / 'deep').mkdir(parents=True)
    (folder / 'ants' / 'more' / 'deep' / 'UPPER.PNG').write_bytes(
        images.encoded(images.noise(1000))
    )
    for hidden in ('ants/._resource.png', 'ants/notes.txt', '.git/x.png', 'ants/.thumbnails/x.png'):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_bytes(b'')
    os.rename(
        folder / 'cats' / '000.png', os.fsencode(folder / 'cats') + b'/caf\xe9.png'
    )  # a name from another century
    loaded = load(folder)
    assert loaded.class_names == ('ants', 'bees', 'cats')
    assert 'cats/caf\N{REPLACEMENT CHARACTER}.png' in loaded.prepared.names()
    os.rename(os.fsencode(folder / 'cats') + b'/caf\xe9.png', folder / 'cats' / '000.png')
    loaded = load(folder)
    splits = {split: names(loaded, split) for split in ('train', 'search', 'test')}
    assert {split: len(part) for split, part in splits.items()} == {
        'train': 66,
        'search': 7,
        'test': 18,
    }
    assert set.union(*splits.values()) == {
        str(p.relative_to(folder))
        for p in folder.glob('[a-z]*/**/*')
        if p.suffix in ('.png', '.PNG')
        and not p.name.startswith('.')
        and p.parent.name != '.thumbnails'
    }
    for split in (loaded.train, loaded.search, loaded._test):
        for image, label, name in zip(
            split.images, split.labels, (loaded.prepared.names()[i] for i in split.indices)
        ):
            assert name.startswith(loaded.class_names[label])
            with Image.open(folder / name) as file:
                box = file.resize((16, 16), Image.Resampling.BICUBIC, box=(2, 0, 22, 20))
            np.testing.assert_array_equal(image, np.asarray(box))
    assert np.abs(np.bincount(loaded._test.labels) - 0.2 * np.array([41, 30, 20])).max() <= 1
    assert load(folder, seed=1).splits != loaded.splits == load(folder).splits


@pytest.mark.parametrize('held', ['val', 'valid', 'validation'])
def test_a_folder_with_its_own_splits(tmp_path, held):
    first = 0
    for split, count in (('train', 9), (held, 4), ('test', 5)):
        first = images.make_folder(tmp_path / 'mine' / split, {'x': count, 'y': count}, first)
    loaded = load(tmp_path / 'mine')
    for split, place in (('train', 'train'), ('search', held), ('test', 'test')):
        assert {name.split('/')[0] for name in names(loaded, split)} == {place}
    shutil.rmtree(tmp_path / 'mine' / 'test')  # the validation images are then what it is tested on
    loaded = load(tmp_path / 'mine', search=4)
    assert (
        len(loaded.train) == 14
        and len(loaded.search) == 4
        and {n.split('/')[0] for n in names(loaded, 'test')} == {held}
    )


def test_a_class_of_very_few_images_can_be_split(tmp_path):
    images.make_folder(tmp_path / 'mine', {'many': 60, 'two': 2, 'one': 1})
    for seed in range(8):
        loaded = load(tmp_path / 'mine', seed)
        assert np.all(np.bincount(loaded.train.labels, minlength=3) > 0)


@pytest.mark.parametrize(
    'change, words',
    [
        (
            lambda root: shutil.rmtree(root / 'bees') or shutil.rmtree(root / 'cats'),
            'holds 1 folders of images: at least two classes',
        ),
        (
            lambda root: [shutil.rmtree(root / name) for name in CLASSES],
            'holds 0 folders of images',
        ),
        (lambda root: (root / 'empty').mkdir(), 'mine/empty holds no image (.png, .jpg'),
        (
            lambda root: (
                [
                    (root / split).mkdir() or (root / name).rename(root / split / name)
                    for split, name in (('train', 'ants'), ('test', 'bees'))
                ]
                and (root / 'cats').rename(root / 'train' / 'cats')
            ),
            'mine/test and ',
        ),
        (
            lambda root: [
                (root / split).mkdir() or (root / name).rename(root / split / name)
                for split, name in (('train', 'ants'), ('val', 'bees'), ('valid', 'cats'))
            ],
            'has two folders for one split: train, val, valid',
        ),
        (lambda root: root.rename(root.with_name('mime')), 'is no folder; near: mime'),
    ],
)
def test_folders_that_are_wrong_are_told(folder, change, words):
    change(folder)
    with pytest.raises(UsageError) as told:
        load(folder)
    assert words in str(told.value) and '\n' not in str(told.value)


def test_train_may_be_a_class(tmp_path):
    images.make_folder(tmp_path / 'mine', {'train': 20, 'plane': 20, 'car': 20})
    assert load(tmp_path / 'mine').class_names == ('car', 'plane', 'train')


def test_a_folder_must_be_named():
    with pytest.raises(UsageError, match="data.name='folder' needs data.root"):
        load('')


# images that cannot be read


def break_some(root):
    """Ten ways to be no image; their names below the root."""
    whole = images.encoded(images.noise(5))
    bad = {
        'ants/000.png': b'',
        'ants/001.png': whole[:300],
        'ants/002.png': b'Moved to the cloud.',
        'bees/003.png': b'<html></html>',
        'bees/004.png': whole[:40] + bytes(100) + whole[140:],
        'bees/005.png': bytes(999),
        'cats/006.png': images.noise(9).tobytes(),
    }
    for name, content in bad.items():
        (root / name).write_bytes(content)
    for name in ('cats/007.png', 'cats/008.png'):
        (root / name).unlink()
    (root / 'cats/007.png').symlink_to('nowhere.png')
    os.symlink('008.png', root / 'cats/008.png')  # to itself
    (root / 'cats/009.png').chmod(0)
    return {*bad, 'cats/007.png', 'cats/008.png', 'cats/009.png'}


@pytest.fixture
def nobody(tmp_path):
    """The rights of an ordinary user: root may read whatever it wants."""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o005 == 0o005:
            path.chmod(0o755)
    (tmp_path / 'tfds').mkdir(mode=0o777)
    (tmp_path / 'tfds').chmod(0o777)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_more_than_a_few_unreadable_images_are_an_error_that_names_them(folder, nobody):
    before = os.geteuid()
    os.seteuid(os.getuid())
    bad = break_some(folder)
    os.seteuid(before)
    with pytest.raises(
        UsageError,
        match=r'10 of 90 images cannot be read \(at most 1% are skipped\): ants/000.png \(the file is empty\)'
        r'; ants/001.png .* and 7 more; all are listed in .*unreadable.txt',
    ) as told:
        load(folder)
    listed = dict(
        line.split('\t')
        for line in open(str(told.value).split(' listed in ')[1].split(':')[0]).read().splitlines()
    )
    assert set(listed) == bad
    assert (
        listed['cats/009.png'] == 'Permission denied'
        and listed['cats/007.png'] == 'No such file or directory'
    )
    assert 'symbolic links' in listed['cats/008.png'] and 'no PNG' in listed['ants/002.png']


def test_up_to_one_percent_is_skipped_with_a_warning(tmp_path, capsys):
    images.make_folder(tmp_path / 'mine', {'ants': 100, 'bees': 100})
    (tmp_path / 'mine/ants/007.png').write_bytes(b'')
    (tmp_path / 'mine/bees/008.png').write_bytes(b'no')
    loaded = load(tmp_path / 'mine')
    assert (
        capsys.readouterr().err.count(
            '2 of 200 images cannot be read and are skipped: ants/007.png (the file is empty); bees/'
        )
        == 1
    )
    assert (
        loaded.facts['unreadable'] == 2 and sum(len(part) for part in loaded.splits.values()) == 198
    )
    assert not {'ants/007.png', 'bees/008.png'} & {
        n for split in loaded.splits for n in names(loaded, split)
    }
    (tmp_path / 'mine/bees/009.png').write_bytes(b'')
    with pytest.raises(UsageError, match='3 of 200 images cannot be read'):
        load(tmp_path / 'mine')
    for name in ('ants/007.png', 'bees/008.png', 'bees/009.png'):  # removed, as the message says
        (tmp_path / 'mine' / name).unlink()
    assert load(tmp_path / 'mine').facts['unreadable'] == 0


# preparation: once, whatever happens


def test_the_second_preparation_reads_no_image(folder, monkeypatch):
    first = load(folder)
    monkeypatch.setattr(prepared, 'decode', lambda *_: pytest.fail('decoded again'))
    monkeypatch.setattr(
        prepared, 'locked', lambda _: pytest.fail('something is to be written')
    )  # it may be read-only
    assert load(folder).digest == first.digest and isinstance(
        load(folder).prepared.images, np.memmap
    )


def test_what_has_changed_is_prepared_again(folder):
    first = load(folder)
    (folder / 'ants/000.png').touch()
    assert load(folder).digest == first.digest  # the same pixels
    (folder / 'ants/000.png').write_bytes(images.encoded(images.noise(999)))
    second = load(folder)
    assert second.digest != first.digest
    (folder / 'bees').rename(folder / 'bumblebees')
    assert load(folder).digest != second.digest  # the same pixels under another name


def test_a_cut_off_preparation_goes_on_where_it_was(folder, monkeypatch):
    uncut = load(folder, size=16).prepared
    shutil.rmtree(uncut.directory)
    monkeypatch.setattr(prepared, 'CHUNK', 8)
    decoded, decode = [], prepared.decode
    monkeypatch.setattr(
        prepared, 'decode', lambda *arguments: decoded.append(1) or decode(*arguments)
    )
    with pytest.raises(Interrupted):
        load(folder, stop=lambda: len(decoded) >= 40)
    assert len(decoded) == 40
    again = load(folder).prepared
    assert len(decoded) == 90 and again.digest == uncut.digest
    np.testing.assert_array_equal(again.images, uncut.images)


KILLED = """
import os, signal, sys
from s4jax.data import prepared, sources
prepared.CHUNK, decode, decoded = 8, prepared.decode, []
def mortal(*arguments):
    decoded.append(1)
    if len(decoded) == 45:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
prepared.decode = mortal
sources.load('folder', sys.argv[1], 16)
"""


def test_a_killed_preparation_goes_on(folder, monkeypatch):
    dead = subprocess.run(
        [sys.executable, '-c', KILLED, str(folder)], cwd=ROOT, capture_output=True
    )
    assert dead.returncode == -signal.SIGKILL
    reads = []
    decode = prepared.decode
    monkeypatch.setattr(
        prepared, 'decode', lambda *arguments: reads.append(1) or decode(*arguments)
    )
    digest = load(folder).digest
    assert len(reads) == 50
    shutil.rmtree(os.environ['TFDS_DATA_DIR'])
    assert load(folder).digest == digest


def test_two_processes_at_once(folder):
    arguments = [
        sys.executable,
        '-m',
        's4jax.data',
        'prepare',
        '--name=folder',
        f'--root={folder}',
        '--storage-size=16',
    ]
    both = [
        subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0] and load(folder).prepared.digest in told[0][0]
    assert sum('preparing' in err for _, err in told) == 1


def test_no_room_is_told_before_anything_is_decoded(folder, monkeypatch):
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=1000))
    with pytest.raises(UsageError, match='the disk is full: .* .0 MiB free of 17 needed'):
        load(folder, size=256)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full)  # a quota, or another process was faster
    with pytest.raises(UsageError, match='the disk is full'):
        load(folder, size=256)
    monkeypatch.undo()


def test_a_data_directory_that_cannot_be_written_is_told(folder, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', '/proc/nowhere')
    with pytest.raises(UsageError, match='/proc/nowhere.*TFDS_DATA_DIR'):
        load(folder)


# official archives


@pytest.mark.parametrize('classes', [10, 100])
def test_cifar(tmp_path, classes):
    expected = images.cifar(tmp_path / f'cifar-{classes}-binary.tar.gz', classes)
    arguments = [
        'prepare',
        f'--name=cifar{classes}',
        f'--archive={tmp_path}/cifar-{classes}-binary.tar.gz',
    ]
    assert command.main(arguments) == 2  # not the official archive
    assert command.main([*arguments, '--any-checksum']) == 0
    loaded = data.load(name=f'cifar{classes}', seed=0, search=100)
    assert (
        loaded.class_names[3] == ('class_3' if classes == 10 else 'fine_3')
        and len(loaded.class_names) == classes
    )
    assert (len(loaded.everything), len(loaded._test)) == (300, 100) and loaded.train.images.shape[
        1:
    ] == (32, 32, 3)
    for split, part in (('train', loaded.everything), ('test', loaded._test)):
        assert {
            (label, pixels.tobytes()) for label, pixels in zip(part.labels.tolist(), part.images)
        } == {
            (label, pixels.tobytes())
            for (own, _), (label, pixels) in expected.items()
            if own == split
        }


def test_tiny_imagenet(tmp_path):
    wnids = images.tiny_imagenet(tmp_path / 'downloaded.zip')  # by any name
    assert (
        command.main(
            [
                'prepare',
                '--name=tiny_imagenet',
                f'--archive={tmp_path}/downloaded.zip',
                '--any-checksum',
            ]
        )
        == 0
    )
    loaded = data.load(name='tiny_imagenet', seed=0, search=200)
    assert loaded.class_names[0] == f'{wnids[-1]} word 199' and len(loaded.class_names) == 200
    assert (len(loaded.train), len(loaded.search), len(loaded._test)) == (400, 200, 200)
    assert loaded.train.images.shape[1:] == (64, 64, 3)
    for split, most in (
        (loaded.everything, 2),
        (loaded._test, 0),
    ):  # an image's grey level is its class
        level = split.images.mean((1, 2, 3)) - (199 - split.labels)
        assert level.min() > -1.5 and level.max() < most + 1.5
    assert set(loaded._test.labels) == set(range(200))


def test_sun397(tmp_path):
    expected = images.sun397(tmp_path / 'SUN397.tar.gz')
    assert (
        command.main(
            [
                'prepare',
                '--name=sun397',
                f'--archive={tmp_path}/SUN397.tar.gz',
                '--any-checksum',
                '--storage-size=64',
            ]
        )
        == 0
    )
    loaded = sources.load('sun397', '', 64)
    assert len(loaded.class_names) == 397
    for split in ('train', 'validation', 'test'):
        found = {
            (round(float(loaded.images[i].mean()), -1), loaded.class_names[loaded.rows['label'][i]])
            for i in loaded.split(split)
        }
        assert found == {
            (grey, name) for (own, _), (grey, name) in expected.items() if own == split
        }
    pixels = loaded.rows['height'].astype(int) * loaded.rows['width']
    assert np.all(np.abs(pixels - 120_000) < 1000)


@pytest.fixture
def server(tmp_path):
    """The network: a folder of archives on this machine."""
    (tmp_path / 'served').mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / 'served')
    handler.func.log_message = lambda *_: None
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield tmp_path / 'served', f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()


def test_a_download_and_its_checksum(server, monkeypatch, capsys):
    from s4jax.data.builders import BUILDERS

    folder, url = server
    archive = folder / 'cifar-10-binary.tar.gz'
    images.cifar(archive, 10)
    cifar10 = BUILDERS['cifar10']
    monkeypatch.setattr(cifar10, 'URL', f'{url}/cifar-10-binary.tar.gz')
    assert command.main(['prepare', '--name=cifar10']) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        told.startswith('s4jax: cifar10 has not the official checksum') and cifar10.SHA256 in told
    )
    monkeypatch.setattr(cifar10, 'SIZE', archive.stat().st_size)
    monkeypatch.setattr(cifar10, 'SHA256', hashlib.sha256(archive.read_bytes()).hexdigest())
    assert command.main(['prepare', '--name=cifar10']) == 0
    archive.unlink()  # from here on the network is gone
    assert command.main(['prepare', '--name=cifar10']) == 0
    assert '400 images of 10 classes' in capsys.readouterr().out
    assert data.load(name='cifar10', seed=0, search=100).facts['test'] == 100
    shutil.rmtree(os.environ['TFDS_DATA_DIR'])
    assert command.main(['prepare', '--name=cifar10']) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        told.startswith('s4jax: ')
        and 'cifar10 could not be prepared from the network' in told
        and '--archive' in told
    )


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--name=cifar1O'], "data.name='cifar1O' is no dataset; near: cifar10"),
        (['--name=tiny_imagnet'], 'near: tiny_imagenet'),
        (['--name=cifar10', '--archive=ROOT/nowhere.tar.gz'], 'nowhere.tar.gz is no file'),
        (
            ['--name=cifar10', '--archive=ROOT/cifar-10-binary.tar.gz'],
            'has not the official checksum',
        ),
        (
            ['--name=cifar10', '--archive=ROOT/cifar-10-binary.tar.gz', '--any-checksum'],
            'could not be prepared',
        ),
        (
            ['--name=tiny_imagenet', '--archive=ROOT/cifar-10-binary.tar.gz', '--any-checksum'],
            'could not be prepared',
        ),
        (['--name=folder'], 'needs data.root'),
        (
            ['--name=folder', '--root=ROOT', '--storage-size=0'],
            '--storage-size=0 must be at least 1',
        ),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, capsys, arguments, words):
    (tmp_path / 'cifar-10-binary.tar.gz').write_bytes(b'cut off')
    assert command.main(['prepare', *(a.replace('ROOT', str(tmp_path)) for a in arguments)]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith('s4jax: ') and words in told


# a look at it


def test_inspect(tmp_path, capsys):
    root = tmp_path / 'mine'
    images.make_folder(root, {'ants': 120, 'bees': 100, 'cats': 4})
    shutil.copy(root / 'ants/001.png', root / 'bees/same.png')
    (root / 'ants/blank.png').write_bytes(images.encoded(np.full((30, 30, 3), 200, np.uint8)))
    (root / 'ants/tiny.png').write_bytes(images.encoded(images.noise(7, 5, 9)))
    (root / 'ants/moving.gif').write_bytes(
        images.encoded(
            Image.fromarray(images.noise(8)),
            'GIF',
            save_all=True,
            append_images=[Image.fromarray(images.noise(9))],
        )
    )
    (root / 'bees/broken.png').write_bytes(b'')
    assert (
        command.main(
            [
                'inspect',
                '--name=folder',
                f'--root={root}',
                '--storage-size=32',
                f'--sheet={tmp_path}/sheet.png',
            ]
        )
        == 0
    )
    told = capsys.readouterr().out
    for words in (
        'folder: 228 images of 3 classes, stored as 32×32×3',
        'short side 5 to 30 pixels, median 20; 100% are enlarged',
        'bees/broken.png: the file is empty',
        'the same pixels in two classes: 1',
        'ants/001.png (',
        '= bees/same.png (',
        'blank: one colour all over: 1\n    ants/blank.png',
        'tiny: a short side below 16 pixels: 1\n    ants/tiny.png: 9×5',
        'animated, of which the first frame is taken: 1\n    ants/moving.gif',
        'classes of fewer than 10 images',
        'cats: ',
    ):
        assert words in told, told
    loaded = load(root, size=32)
    counts = inspect.class_counts(loaded)
    assert counts.sum(1).tolist() == [123, 101, 4]
    assert f'{"ants":<4}' + ''.join(f'{n:>9}' for n in counts[0]) in told
    sheet = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert sheet.shape == (3 * 66, 180 + 12 * 66, 3)
    tiles = {
        np.asarray(Image.fromarray(loaded.prepared.images[i]).resize((64, 64))).tobytes()
        for i in np.flatnonzero(loaded.prepared.rows['label'] == 2)
    }
    assert {sheet[133:197, 180 + 66 * k : 244 + 66 * k].tobytes() for k in range(4)} == tiles


def test_duplicates_across_splits_are_listed(tmp_path):
    for split in ('train', 'test'):
        images.make_folder(
            tmp_path / 'mine' / split, {'x': 12, 'y': 12}, first=0 if split == 'train' else 20
        )  # 20 to 23 twice
    told = '\n'.join(inspect.describe(load(tmp_path / 'mine', search=4)))
    across = told.split('than they are: 4\n')[1].splitlines()[:4]
    assert (
        len(told.split('than they are: ')[1].split('the same')[0].splitlines()) == 5
        and len(across) == 4
    )
    assert all('(test)' in line and ('(train)' in line or '(search)' in line) for line in across)


def test_nothing_suspicious_is_said(tmp_path):
    images.make_folder(tmp_path / 'mine', {'x': 40, 'y': 40})
    assert list(inspect.describe(load(tmp_path / 'mine')))[-1] == 'nothing suspicious'


def test_the_search_split_is_recorded_in_the_run(folder, tmp_path):
    from s4jax import run as job

    loaded = load(folder)
    job.claim(tmp_path / 'run', {'seed': 0}, loaded)
    assert json.loads((tmp_path / 'run/splits.json').read_text()) == loaded.splits
    splits = [set(part) for part in loaded.splits.values()]
    assert len(set.union(*splits)) == sum(map(len, splits)) == 90
