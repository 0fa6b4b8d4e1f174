"""Preparation: what cannot be read is reported; it happens once, whatever interrupts it."""

import os
import shutil
import signal
import subprocess
import sys

import images
import numpy as np
import pytest
from folders import load, names
from runs import ROOT

from s4jax.data import prepared
from s4jax.errors import UsageError
from s4jax.runtime.signals import Interrupted


def break_some(root):
    """Replaces ten images by what cannot be read; returns their names below the root."""
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


def test_more_than_a_few_unreadable_images_are_an_error_that_names_them(folder, nobody):
    before = os.geteuid()
    os.seteuid(os.getuid())
    bad = break_some(folder)
    os.seteuid(before)
    words = (
        r'10 of 90 images cannot be read \(at most 0.01 of them are skipped\): ants/000.png '
        r'\(the file is empty\); ants/001.png .* and 7 more; all are listed in .*unreadable.txt'
    )
    with pytest.raises(UsageError, match=words) as error:
        load(folder)
    path = str(error.value).split(' listed in ')[1].split(':')[0]
    listed = dict(line.split('\t') for line in open(path).read().splitlines())
    assert set(listed) == bad
    assert (
        listed['cats/009.png'] == 'Permission denied'
        and listed['cats/007.png'] == 'No such file or directory'
    )
    assert 'symbolic links' in listed['cats/008.png'] and 'not a PNG' in listed['ants/002.png']


def test_up_to_one_percent_is_skipped_with_a_warning(tmp_path, capsys):
    images.make_folder(tmp_path / 'mine', {'ants': 100, 'bees': 100})
    (tmp_path / 'mine/ants/007.png').write_bytes(b'')
    (tmp_path / 'mine/bees/008.png').write_bytes(b'no')
    loaded = load(tmp_path / 'mine')
    words = (
        '2 of 200 images cannot be read and are skipped: ants/007.png (the file is empty); bees/'
    )
    assert capsys.readouterr().err.count(words) == 1
    assert loaded.facts['unreadable'] == 2
    assert sum(len(part) for part in loaded.splits.values()) == 198
    assert not {'ants/007.png', 'bees/008.png'} & {
        n for split in loaded.splits for n in names(loaded, split)
    }
    (tmp_path / 'mine/bees/009.png').write_bytes(b'')
    with pytest.raises(UsageError, match='3 of 200 images cannot be read'):
        load(tmp_path / 'mine')
    for name in ('ants/007.png', 'bees/008.png', 'bees/009.png'):  # removed, as the message says
        (tmp_path / 'mine' / name).unlink()
    assert load(tmp_path / 'mine').facts['unreadable'] == 0


def test_the_second_preparation_reads_no_image(folder, monkeypatch):
    first = load(folder)
    monkeypatch.setattr(prepared, 'decode', lambda *_: pytest.fail('decoded again'))
    # the folder may be read-only
    monkeypatch.setattr(prepared, 'locked', lambda _: pytest.fail('something is to be written'))
    assert load(folder).digest == first.digest
    assert isinstance(load(folder).prepared.images, np.memmap)


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
from s4jax.data import DataSettings, prepared, sources
prepared.CHUNK, decode, decoded = 8, prepared.decode, []
def mortal(*arguments):
    decoded.append(1)
    if len(decoded) == 45:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
prepared.decode = mortal
sources.load(DataSettings(name='folder', root=sys.argv[1], storage_size=16))
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


def test_a_full_disk_is_reported_before_anything_is_decoded(folder, monkeypatch):
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


def test_pixels_that_were_changed_are_refused_and_a_copy_is_not(tmp_path):
    names = [f'{i}.png' for i in range(12)]
    read = lambda i: (images.encoded(images.noise(i)), 0)
    items = prepared.Items(('one',), {'train': 12}, names, read, 'twelve')
    first = prepared.prepare(tmp_path / 'one', items, 8, 3)
    first.check()
    shutil.copytree(tmp_path / 'one', tmp_path / 'copy', copy_function=shutil.copyfile)
    assert prepared.prepare(tmp_path / 'copy', items, 8, 3).digest == first.digest
    with open(tmp_path / 'one' / 'images.npy', 'r+b') as file:
        file.seek(200)
        byte = file.read(1)[0]
        file.seek(200)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(UsageError, match='images.npy was changed while it was in use'):
        first.check()
    with pytest.raises(UsageError, match='1 of 12 images are not those that were prepared'):
        prepared.prepare(tmp_path / 'one', items, 8, 3)
