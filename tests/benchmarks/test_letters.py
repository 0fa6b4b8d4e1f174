"""The letters: families of the test are never trained on, the same fonts give the same files."""

import collections
import json
import pathlib

import matplotlib
import numpy as np
import pytest
from PIL import Image

from benchmarks import letters
from benchmarks.letters import Face
from s4jax import data

FONTS = pathlib.Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
FILES = {  # fonts that come with matplotlib, as if each were a family of its own
    'Ada': 'DejaVuSans.ttf',
    'Bob': 'DejaVuSansMono.ttf',
    'Cid': 'DejaVuSerif.ttf',
    'Dan': 'cmr10.ttf',
    'Eve': 'cmss10.ttf',
    'Fay': 'cmtt10.ttf',
    'Gus': 'STIXGeneral.ttf',
    'Hal': 'DejaVuSans-BoldOblique.ttf',
}


def font(family, style='Regular', file=None):
    return str(FONTS / (file or FILES[family])), 0, family, style


@pytest.fixture(scope='module')
def fonts():
    return [font(family) for family in FILES]


@pytest.fixture(scope='module')
def used(fonts):
    return letters.faces(fonts)


def blank(family, change=0):
    """A face whose letters are nearly all grey; `change` is what tells it from another."""
    images = np.full((52, 16, 16), 100, np.uint8)
    images[:, 0, 0] = np.arange(52)
    images[0, 1, 1] = change
    return Face(family, 'Regular', images)


def test_letters_are_centred_and_the_largest_is_14_pixels():
    for file in ('DejaVuSans.ttf', 'DejaVuSerif-BoldItalic.ttf'):
        images = letters.draw(str(FONTS / file))
        assert images.shape == (52, 16, 16) and images.dtype == np.uint8
        sizes = []
        for image in images:
            for axis in (0, 1):
                places = np.flatnonzero(image.max(axis) > 40)
                assert abs(places[0] + places[-1] - 15) <= 2  # in the middle, to a pixel
                sizes.append(places[-1] - places[0] + 1)
        assert 13 <= max(sizes) <= 15


def test_a_face_has_one_scale():
    """In DejaVu Sans Bold the stem of u is 1120 units high and that of H 1493."""
    images = letters.draw(str(FONTS / 'DejaVuSans-Bold.ttf')) / 255
    # stems are two pixels wide, so that the sum of the rows' maxima is the height in pixels
    small, large = (images[letters.LETTERS.index(letter)].max(1).sum() for letter in 'uH')
    assert small / large == pytest.approx(1120 / 1493, abs=0.05)


@pytest.mark.parametrize('file', ['cmex10.ttf', 'STIXSizOneSymReg.ttf', 'LICENSE_DEJAVU'])
def test_what_has_no_letters_is_left_out(file):
    assert (FONTS / file).exists()
    assert letters.draw(str(FONTS / file)) is None
    assert letters.faces([font('Ada', file=file)]) == []


def test_equal_faces_count_once_and_large_families_by_four_faces(used):
    assert [face.family for face in used] == sorted(FILES)
    again = [font('Ada'), font('Zoe', file=FILES['Ada']), font('Ada', 'Book')]
    assert len(letters.faces(again)) == 1
    files = sorted(FONTS.glob('DejaVuS*.ttf'))
    large = letters.faces([font('Ada', path.stem, path.name) for path in files])
    assert len(files) > 6 and len(large) == letters.FACES


def test_families_of_one_first_word_or_of_one_look_are_one_group():
    one, two, three = (blank('Ada One'), blank('Ada Two', 9), blank('Zoe', 5))
    plain = Face('Bob', 'Regular', 255 - one.images)
    numbers = letters.groups([one, plain, two, three])
    assert numbers[0] == numbers[2] == numbers[3] != numbers[1]


def test_groups_are_never_shared_by_splits():
    """Of 200 families with 1 to 3 faces, half of them related by their first word to others."""
    rng, faces = np.random.default_rng(0), []
    for n in range(200):
        noise = rng.integers(0, 256, (52, 16, 16)).astype(np.uint8)
        faces += [
            Face(f'{n % 150} {n}', str(k), noise ^ np.uint8(k)) for k in range(rng.integers(1, 4))
        ]
    for seed in range(5):
        splits = letters.split(faces, seed)
        places = collections.defaultdict(set)
        for face, split in zip(faces, splits):
            places[face.family.split()[0]].add(split)
        assert all(len(found) == 1 for found in places.values())
        share = {name: np.mean(splits == name) for name in ('train', 'val', 'test')}
        assert share['test'] == pytest.approx(0.25, abs=0.01)
        assert share['val'] == pytest.approx(0.03, abs=0.01)
    assert np.any(letters.split(faces, 0) != letters.split(faces, 1))


def test_the_same_fonts_give_the_same_files_which_load_as_a_folder(
    fonts, used, tmp_path, monkeypatch
):
    splits = np.array(['train', 'test', 'train', 'train', 'val', 'train', 'test', 'train'], object)
    facts = letters.write(used, splits, tmp_path / 'one')
    assert facts == letters.write(letters.faces(fonts[::-1]), splits, tmp_path / 'two')
    files = sorted(p.relative_to(tmp_path / 'one') for p in (tmp_path / 'one').rglob('*.*'))
    assert len(files) == 8 * 52 + 1
    for file in files:
        assert (tmp_path / 'one' / file).read_bytes() == (tmp_path / 'two' / file).read_bytes()
    assert json.loads((tmp_path / 'one' / 'letters.json').read_text()) == facts
    assert facts['test'] | {'as another class': 0} == {
        'families': 2, 'faces': 2, 'images': 104, 'as another class': 0,
    }  # fmt: skip
    assert facts['names']['val'] == {'Eve': ['Regular']}

    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'prepared'))
    settings = data.DataSettings(name='folder', root=str(tmp_path / 'one'), storage_size=16)
    loaded = data.load(settings, 0)
    assert ''.join(loaded.class_names) == 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
    assert (len(loaded.train), len(loaded.search)) == (5 * 52, 52)
    assert np.bincount(loaded.search.labels).tolist() == [2] * 26
    eve = used[4].images[[letters.LETTERS.index('a'), letters.LETTERS.index('A')]]
    stored = loaded.search.images[:2]
    assert np.array_equal(stored, np.repeat(eve[..., None], 3, -1))


def test_letters_that_look_the_same_in_two_classes_are_counted(tmp_path):
    face = blank('Ada')
    face.images[letters.LETTERS.index('l')] = face.images[letters.LETTERS.index('I')]
    face.images[letters.LETTERS.index('o')] = face.images[letters.LETTERS.index('O')]
    facts = letters.write([face], np.array(['test'], object), tmp_path)
    assert facts['test']['as another class'] == 2


def test_too_few_fonts_are_one_line_and_no_file(tmp_path, monkeypatch, capsys, fonts):
    for found in ([], fonts):
        monkeypatch.setattr(letters, 'installed', lambda found=found: found)
        assert letters.main([f'--to={tmp_path / "new"}']) == 2
        error = capsys.readouterr().err
        assert error.count('\n') == 1 and 'apt-get install --no-install-recommends' in error
        assert not (tmp_path / 'new').exists()


def test_a_folder_with_files_is_refused(tmp_path, capsys):
    Image.new('L', (2, 2)).save(tmp_path / 'mine.png')
    assert letters.main([f'--to={tmp_path}']) == 2
    assert 'is not empty' in capsys.readouterr().err
