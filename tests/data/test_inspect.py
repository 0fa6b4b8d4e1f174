"""The report on a dataset: counts, suspicious images, the contact sheet."""

import os
import shutil

import images
import numpy as np
from folders import load
from PIL import Image

from s4jax.data import __main__ as command
from s4jax.data import inspect


def test_inspect(tmp_path, capsys):
    root = tmp_path / 'mine'
    images.make_folder(root, {'ants': 120, 'bees': 100, 'cats': 4})
    shutil.copy(root / 'ants/001.png', root / 'bees/same.png')
    (root / 'ants/blank.png').write_bytes(images.encoded(np.full((30, 30, 3), 200, np.uint8)))
    (root / 'ants/tiny.png').write_bytes(images.encoded(images.noise(7, 5, 9)))
    frames = [Image.fromarray(images.noise(seed)) for seed in (8, 9)]
    moving = images.encoded(frames[0], 'GIF', save_all=True, append_images=frames[1:])
    (root / 'ants/moving.gif').write_bytes(moving)
    (root / 'bees/broken.png').write_bytes(b'')
    arguments = [f'--root={root}', '--storage-size=32', f'--sheet={tmp_path}/sheet.png']
    assert command.main(['inspect', '--name=folder', *arguments]) == 0
    report = capsys.readouterr().out
    for words in (
        'folder: 228 images of 3 classes, stored as 32×32×3',
        'short side 5 to 30 pixels, median 20; 100% are enlarged',
        'bees/broken.png: the file is empty',
        'the same pixels in two classes, of which one is wrong: 1',
        'ants/001.png (',
        '= bees/same.png (',
        'blank: a single colour: 1\n    ants/blank.png',
        'tiny: a short side below 16 pixels: 1\n    ants/tiny.png: 9×5',
        'animated: only the first frame is used: 1\n    ants/moving.gif',
        'classes of fewer than 10 images',
        'cats: ',
    ):
        assert words in report, report
    loaded = load(root, size=32)
    counts = inspect.class_counts(loaded)
    assert counts.sum(1).tolist() == [123, 101, 4]
    assert f'{"ants":<4}' + ''.join(f'{n:>9}' for n in counts[0]) in report
    sheet = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert sheet.shape == (3 * 66, 180 + 12 * 66, 3)
    cats = loaded.prepared.images[loaded.prepared.rows['label'] == 2]
    tiles = {np.asarray(Image.fromarray(cat).resize((64, 64))).tobytes() for cat in cats}
    assert {sheet[133:197, 180 + 66 * k : 244 + 66 * k].tobytes() for k in range(4)} == tiles


def test_duplicates_across_splits_are_listed(tmp_path):
    images.make_folder(tmp_path / 'mine/train', {'x': 12, 'y': 12})
    images.make_folder(tmp_path / 'mine/test', {'y': 12, 'x': 12}, 20)  # 20 to 23 twice
    report = '\n'.join(inspect.describe(load(tmp_path / 'mine', search=4)))
    across = report.split('than they are: 4\n')[1].splitlines()[:4]
    own = report.split('than they are: ')[1].split('the same')[0]
    assert len(own.splitlines()) == 5 and len(across) == 4
    assert all('(test)' in line and ('(train)' in line or '(search)' in line) for line in across)


def test_nothing_suspicious_is_reported(tmp_path):
    images.make_folder(tmp_path / 'mine', {'x': 40, 'y': 40})
    assert list(inspect.describe(load(tmp_path / 'mine')))[-1] == 'nothing suspicious'


def test_kinds_of_duplicates_are_told_apart(tmp_path):
    root = tmp_path / 'mine'
    images.make_folder(root / 'train', {'x': 30, 'y': 30})
    images.make_folder(root / 'test', {'x': 5, 'y': 5}, 100)
    for source, copy in (
        ('train/x/001.png', 'test/x/copy.png'),  # two splits
        ('train/x/002.png', 'test/y/copy.png'),  # two splits and two classes
        ('test/x/001.png', 'test/x/again.png'),  # within one
        ('test/y/002.png', 'test/y/again.png'),
        ('test/y/002.png', 'test/y/and again.png'),
    ):
        shutil.copy(root / source, root / copy)
    found = dict(inspect.suspicious(load(root, search=4), np.ones((2, 3), int)))
    classes, across, within = (
        next(lines for title, lines in found.items() if words in title)
        for words in ('in two classes', 'in two splits', 'twice in a class of one split')
    )
    assert [line.split(' (')[0] for line in classes] == ['train/x/002.png']
    assert [line.split(' (')[0] for line in across] == ['train/x/001.png']
    assert sorted(len(line.split(' = ')) for line in within) == [2, 3]
    assert all(line.count('test/') == line.count('(test)') for line in within)


def broken(root, names):
    for name in names:
        (root / name).write_bytes(b'no image')


def test_what_no_run_would_take_is_diagnosed(tmp_path, capsys):
    root = tmp_path / 'mine'
    images.make_folder(root, {'ants': 30, 'bees': 30})
    names = [f'ants/{k:03d}.png' for k in range(11)] + ['bees/000.png']
    broken(root, names)
    arguments = ['--name=folder', f'--root={root}', '--storage-size=16']
    assert command.main(['prepare', *arguments]) == 2
    refused = capsys.readouterr().err.splitlines()[-1]
    assert refused.endswith('repair or remove them, or go on without them by data.unreadable=0.2')
    sheet = tmp_path / 'sheet.png'
    assert command.main(['inspect', *arguments, f'--sheet={sheet}']) == 0
    out = capsys.readouterr().out
    for name in names:  # all of them
        assert f'    {name}: it is not a PNG, JPEG, BMP, WEBP, GIF image' in out
    assert 'train   search     test   unread' in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if ' ' in line}
    assert [rows[name][-1] for name in ('all', 'ants', 'bees')] == ['12', '11', '1']
    assert sum(map(int, rows['all'][:3])) == 48
    assert out.count('go on without them by --config.data.unreadable=0.2') == 1
    assert Image.open(sheet).size[1] == 2 * 66
    assert len(load(root, unreadable=0.2).prepared.split('train')) == 48
    assert command.main(['prepare', *arguments]) == 2  # whoever prepared it: a run looks again
    assert command.main(['prepare', *arguments, '--unreadable=0.2']) == 0


def test_a_class_without_a_readable_image_and_images_too_few_to_split(tmp_path, capsys):
    root = tmp_path / 'mine'
    images.make_folder(root, {'ants': 3, 'bees': 2})
    broken(root, ['bees/000.png', 'bees/001.png'])
    arguments = ['inspect', '--name=folder', f'--root={root}', f'--sheet={tmp_path}/s.png']
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    assert f'bees{0:>9}{0:>9}{0:>9}{2:>9}' in out
    assert 'a run cannot use these images: ' in out and (tmp_path / 's.png').exists()
    broken(root, [f'ants/00{k}.png' for k in range(3)])  # nothing at all can be read
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    assert 'folder: 0 images of 2 classes' in out and 'unreadable, skipped: 5' in out


def test_a_repaired_image_is_read_again(tmp_path, nobody):
    """Permissions change neither the time nor the size of a file."""
    root = tmp_path / 'mine'
    before = os.geteuid()
    os.seteuid(os.getuid())
    images.make_folder(root, {'ants': 20, 'bees': 20})
    (root / 'ants/003.png').chmod(0)
    os.seteuid(before)
    assert load(root, unreadable=0.1).facts['unreadable'] == 1
    os.seteuid(os.getuid())
    (root / 'ants/003.png').chmod(0o644)
    os.seteuid(before)
    assert load(root).facts['unreadable'] == 0
