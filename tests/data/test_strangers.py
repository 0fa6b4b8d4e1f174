"""Files made to do harm: archives that write elsewhere, image bombs, files without an end."""

import io
import os
import struct
import tarfile
import threading
import zipfile
import zlib

import images
import numpy as np
import pytest
from folders import load
from PIL import Image

from s4jax.data import __main__ as command
from s4jax.data import builders, decode
from s4jax.data.decode import Unreadable


def member(name, kind=tarfile.REGTYPE, content=b'', target=''):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), target
    info.devmajor, info.devminor = 1, 3
    return info, content


HOSTILE = [
    member('../../escaped.bin', content=b'x'),
    member('/tmp/s4jax-escaped.bin', content=b'x'),
    member('cifar-10-batches-bin/../../escaped.bin', content=b'x'),
    member('cifar-10-batches-bin/link', tarfile.SYMTYPE, target='/etc/passwd'),
    member('cifar-10-batches-bin/batches.meta.txt', tarfile.SYMTYPE, target='/etc/passwd'),
    member('cifar-10-batches-bin/test_batch.bin', tarfile.LNKTYPE, target='../../../etc/passwd'),
    member('cifar-10-batches-bin/zero', tarfile.CHRTYPE),
    member('cifar-10-batches-bin/disk', tarfile.BLKTYPE),
    member('cifar-10-batches-bin/pipe', tarfile.FIFOTYPE),
]


def everything(path):
    return {str(p.relative_to(path)) for p in path.rglob('*')}


def with_hostile(path, first=True):
    """An archive of CIFAR-10 among hostile members."""
    images.cifar(path.with_suffix('.own'), 10)
    with tarfile.open(path.with_suffix('.own')) as own, tarfile.open(path, 'w:gz') as archive:
        sound = [(info, own.extractfile(info).read()) for info in own]
        for info, content in HOSTILE + sound if first else sound + HOSTILE:
            archive.addfile(info, io.BytesIO(content))
    path.with_suffix('.own').unlink()


@pytest.mark.parametrize('first', [True, False])
def test_a_tar_writes_nothing_outside_and_its_links_are_not_followed(tmp_path, monkeypatch, first):
    root = tmp_path / 'a/b/c'
    root.mkdir(parents=True)
    monkeypatch.setenv('TFDS_DATA_DIR', str(root / 'tfds'))
    with_hostile(root / 'cifar.tar.gz', first)
    before = everything(tmp_path)
    flags = ['--name=cifar10', f'--archive={root}/cifar.tar.gz', '--any-checksum']
    assert command.main(['prepare', *flags]) == 0
    new = everything(tmp_path) - before
    assert new and all(name.startswith('a/b/c/tfds') for name in new)
    assert not os.path.exists('/tmp/s4jax-escaped.bin')
    written = (path for path in root.rglob('*') if path.is_file() and path.suffix != '.gz')
    assert not any(b'root:' in path.read_bytes() for path in written)
    assert not [p for p in tmp_path.rglob('*') if p.is_symlink()]


def test_only_ordinary_files_are_members(tmp_path):
    with_hostile(tmp_path / 'x.tar.gz')
    found = [name for name, _ in builders.members(tmp_path / 'x.tar.gz', lambda name: True)]
    assert [n for n in found if 'escaped' in n] == [m.name for m, _ in HOSTILE[:3]]
    assert not {m.name for m, _ in HOSTILE[3:]} & set(found[:3])
    assert len(found) == len(HOSTILE[:3]) + 7  # five and one of images, one of names


def test_a_zip_writes_nothing_outside(tmp_path, monkeypatch):
    root = tmp_path / 'a/b'
    root.mkdir(parents=True)
    monkeypatch.setenv('TFDS_DATA_DIR', str(root / 'tfds'))
    images.tiny_imagenet(root / 'tiny.zip')
    with zipfile.ZipFile(root / 'tiny.zip', 'a') as archive:
        for name in ('../../escaped.JPEG', '/tmp/s4jax-escaped.JPEG', 'a/../../escaped.JPEG'):
            archive.writestr(name, b'x')
        link = zipfile.ZipInfo('tiny-imagenet-200/train/link.JPEG')
        link.external_attr = 0o120777 << 16
        archive.writestr(link, '/etc/passwd')
    before = everything(tmp_path)
    flags = ['--name=tiny_imagenet', f'--archive={root}/tiny.zip', '--any-checksum']
    command.main(['prepare', *flags])  # whether it refuses the archive or leaves these out
    assert all(name.startswith('a/b/tfds') for name in everything(tmp_path) - before)
    assert not os.path.exists('/tmp/s4jax-escaped.JPEG')


def test_a_file_of_an_archive_larger_than_any_official_one_is_refused(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(builders, 'MOST_BYTES', 1000)
    images.cifar(tmp_path / 'cifar.tar.gz', 10)
    flags = ['--name=cifar10', f'--archive={tmp_path}/cifar.tar.gz', '--any-checksum']
    assert command.main(['prepare', *flags]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert 'data_batch_1.bin has 184,380 bytes, more than 1,000' in line
    images.tiny_imagenet(tmp_path / 'tiny.zip')
    flags = ['--name=tiny_imagenet', f'--archive={tmp_path}/tiny.zip', '--any-checksum']
    assert command.main(['prepare', *flags]) == 2
    assert 'bytes, more than 1,000' in capsys.readouterr().err.splitlines()[-1]


def png(width, height):
    """A PNG whose header promises that many pixels."""

    def chunk(kind, data):
        checksum = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + checksum

    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', body) + chunk(b'IEND', b'')


@pytest.mark.parametrize(
    'size', [(20_000, 20_000), (2**31 - 1, 1), (1, 2**31 - 1), (2**31 - 1,) * 2]
)
@pytest.mark.parametrize('limit', [Image.MAX_IMAGE_PIXELS, None])
def test_an_image_bomb_is_refused_before_it_is_decoded(monkeypatch, size, limit):
    """Whatever limit another library has set in Pillow."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
    monkeypatch.setattr(Image.Image, 'resize', lambda *_: pytest.fail('decoded'))
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', lambda *_: pytest.fail('decoded'))
    with pytest.raises(Unreadable, match='more than 178,956,970 pixels|too large|Error') as error:
        decode.decode(png(*size), 8, 3)
    assert '\n' not in str(error.value)


def test_a_bomb_in_a_folder_is_one_line_of_the_report(tmp_path, capsys):
    images.make_folder(tmp_path / 'mine', {'ants': 20, 'bees': 20})
    (tmp_path / 'mine/ants/bomb.png').write_bytes(png(30_000, 30_000))
    flags = ['--name=folder', f'--root={tmp_path}/mine', f'--sheet={tmp_path}/s.png']
    assert command.main(['inspect', *flags]) == 0
    assert 'ants/bomb.png: it has more than 178,956,970 pixels' in capsys.readouterr().out


def test_files_without_an_end_are_no_images(tmp_path):
    images.make_folder(tmp_path / 'mine', {'ants': 20, 'bees': 20})
    (tmp_path / 'mine/ants/zero.png').symlink_to('/dev/zero')
    (tmp_path / 'mine/bees/folder.png').mkdir()
    os.mkfifo(tmp_path / 'mine/bees/pipe.png')
    found = {}
    reader = threading.Thread(
        target=lambda: found.update(load(tmp_path / 'mine', unreadable=0.1).prepared.unreadable),
        daemon=True,
    )
    reader.start()
    reader.join(60)
    assert found == dict.fromkeys(('ants/zero.png', 'bees/pipe.png'), 'it is not an ordinary file')


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / 'sparse.png'
    with open(path, 'wb') as file:
        file.truncate(decode.MOST_BYTES + 1)  # takes no space on the disk
    with pytest.raises(Unreadable, match='it has more than 536,870,912 bytes'):
        decode.read(path)
    path.write_bytes(b'abc')
    assert decode.read(path) == b'abc'


def test_postscript_is_never_given_to_its_program(monkeypatch):
    """Pillow would run Ghostscript for it."""
    monkeypatch.setattr('PIL.EpsImagePlugin.Ghostscript', lambda *_, **__: pytest.fail('run'))
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, 'EPS')
    with pytest.raises(Unreadable, match='it is not a PNG'):
        decode.decode(file.getvalue(), 8, 3)
    with pytest.raises(Image.UnidentifiedImageError):
        builders.Sun397._reduced(builders.Sun397, file.getvalue())
