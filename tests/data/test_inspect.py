"""The report on a dataset: counts, suspicious images, the contact sheet."""

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
        'the same pixels in two classes: 1',
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
    for split, first in (('train', 0), ('test', 20)):  # 20 to 23 twice
        images.make_folder(tmp_path / 'mine' / split, {'x': 12, 'y': 12}, first)
    report = '\n'.join(inspect.describe(load(tmp_path / 'mine', search=4)))
    across = report.split('than they are: 4\n')[1].splitlines()[:4]
    own = report.split('than they are: ')[1].split('the same')[0]
    assert len(own.splitlines()) == 5 and len(across) == 4
    assert all('(test)' in line and ('(train)' in line or '(search)' in line) for line in across)


def test_nothing_suspicious_is_reported(tmp_path):
    images.make_folder(tmp_path / 'mine', {'x': 40, 'y': 40})
    assert list(inspect.describe(load(tmp_path / 'mine')))[-1] == 'nothing suspicious'
