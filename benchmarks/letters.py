"""A real dataset of letters: 16×16 grey images of A–Z in the fonts that are installed.

    python -m benchmarks.letters --to=DIR
    python -m s4jax.main --config=configs/letters.py --config.data.root=DIR --workdir=runs/letters

Each of the 26 classes holds a letter's capital and its small form, so that a sans-serif's I and l
cannot be told apart: the facts count such images. A face is one file (regular, bold, italic, …) and
is drawn with one scale: its largest letter is 14 pixels wide or high; letters are centred.

Fonts are split by family into DIR/train, DIR/val (the search split) and DIR/test, so that a model
meets unseen families in both of the latter. Families whose names begin with the same word, or of
which two faces look nearly the same (as Nimbus Roman and TeX Gyre Termes), stay together. Left out
are fonts without Latin letters, faces that look exactly like another, variable fonts (most come as
single faces, too) and all but four faces of each family. The same fonts give the same files.
DIR/letters.json says which families and faces were used, and how many images there are.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import re
import string
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = string.ascii_uppercase + string.ascii_lowercase
SIDE, INSIDE = 16, 14  # pixels: of an image, and of the largest letter of a face
FINER = 4  # letters are drawn that much larger, then averaged
FAINT = 64  # a letter whose darkest pixel is fainter is lost at this size
ALIKE = 0.06  # root mean square of the differences of two faces, of grey values from 0 to 1
FACES = 4  # of each family at most, so that no large family outweighs the others
SHARES = {'test': 0.25, 'val': 0.03}  # of the faces; the others train
LEAST_TEST = 5000  # images
# They say that they have Latin letters, and draw signs, bits or parts of letters.
NO_LETTERS = (
    'Binary 01s BRK',
    'Binary BRK',
    'Bit Blocks TTF BRK',
    'D050000L',
    'DB Layer 4 BRK',
)
# Debian's, all in `main`
PACKAGES = """
3270 adf-accanthis adf-baskervald adf-berenis adf-gillius adf-ikarius adf-irianis adf-libris
adf-mekanus adf-oldania adf-romande adf-solothurn adf-switzera adf-tribun adf-universalis adf-verana
aenigma agave allerta anonymous-pro arapey averia-gwf averia-sans-gwf averia-serif-gwf b612
bebas-neue blankenburg breip cabin cabinsketch cantarell cardo cherrybomb clear-sans cmu comfortaa
comic-neue compagnon courier-prime croscore crosextra-caladea crosextra-carlito dancingscript
dejavu-core dejavu-extra dkg-handwriting dosis dotgothic16 dustin ebgaramond elstob engadget
essays1743 eurofurence fantasma fantasque-sans fanwood femkeklaver firacode freefont-ttf gamaliel
georgewilliams gfs-artemisia gfs-didot gfs-neohellenic gnutypewriter go goudybookletter hack hermit
inconsolata inter isabella jetbrains-mono johnsmith-induni joscelyn junction junicode jura karla
karmilla kaushanscript klaudia-berenika klee kristi lato le-murmure league-mono league-spartan
leckerli-one lemonada liberation lindenhill linex linuxlibertine lmodern lobster lobstertwo manrope
monofur monoid mononoki mplus noto-core noto-mono okolaks oldstandard open-sans opendyslexic osifont
oxygen paratype play prociono quattrocento quicksand rampart reggae roadgeek roboto-slab
roboto-unhinted rocknroll routed-gothic sil-andika sil-charis sil-doulos sil-gentium
sil-gentium-basic sil-gentiumplus sixtyfour sjfonts solide-mirage sora staypuft stick stix summersby
texgyre tiresias tlwg-garuda-ttf tlwg-kinnari-ttf tlwg-laksaman-ttf tlwg-loma-ttf tlwg-mono-ttf
tlwg-norasi-ttf tlwg-purisa-ttf tlwg-sawasdee-ttf tlwg-typewriter-ttf tlwg-typist-ttf tlwg-typo-ttf
tlwg-umpush-ttf tlwg-waree-ttf train triod-postnaja tuffy urw-base35 vollkorn yanone-kaffeesatz
yrsa-rasa yusei-magic
""".split()


class Face(NamedTuple):
    """One face of a font: its family and style, and its letters, uint8 (52, 16, 16)."""

    family: str
    style: str
    images: np.ndarray


def installed() -> list[tuple[str, int, str, str]]:
    """(file, index in the file, family, style) of the installed fonts with Latin letters."""
    names = '%{file}\t%{index}\t%{family[0]}\t%{style[0]}\t%{variable}\n'
    command = ['fc-list', '--format', names, ':lang=en:scalable=true:symbol=false']
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return []
    rows = (line.split('\t') for line in text.split('\n'))
    return sorted(
        (file, int(index), family, style)
        for file, index, family, style, variable in (row for row in rows if len(row) == 5)
        if variable != 'True' and int(index) < 2**16 and family not in NO_LETTERS
    )


def draw(file: str, index: int = 0) -> np.ndarray | None:
    """A face's letters, uint8 (52, 16, 16); None where it has no readable ones."""
    basic = ImageFont.Layout.BASIC  # the same with and without libraqm
    try:
        large = ImageFont.truetype(file, 200, index, layout_engine=basic)
        boxes = np.array([large.getbbox(letter) for letter in LETTERS])
        largest = (boxes[:, 2:] - boxes[:, :2]).max()
        if largest <= 0:
            return None
        font = ImageFont.truetype(file, 200 * INSIDE * FINER / largest, index, layout_engine=basic)
        images = np.stack([_letter(font, letter) for letter in LETTERS])
    except OSError:
        return None
    lost = images.max((1, 2)).min() < FAINT
    # what a font draws for each letter that it does not have is the same
    capitals = {image.tobytes() for image in images[:26]}
    return None if lost or len(capitals) < 26 else images


def _letter(font: ImageFont.FreeTypeFont, letter: str) -> np.ndarray:
    """A letter in the middle of an image, white on black, uint8 (16, 16)."""
    side = SIDE * FINER
    left, top, right, bottom = font.getbbox(letter)
    image = Image.new('L', (side, side))
    place = (side - left - right) / 2, (side - top - bottom) / 2
    ImageDraw.Draw(image).text(place, letter, fill=255, font=font)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def faces(fonts: Iterable[tuple[str, int, str, str]]) -> list[Face]:
    """The faces that are used, sorted by family and style: different ones, few of each family.

    Which ones of a large family is left to a checksum, so that they are bold or italic by chance.
    """
    drawn = [
        Face(family, style, images)
        for file, index, family, style in fonts
        if (images := draw(file, index)) is not None
    ]
    different = {_checksum(face): face for face in sorted(drawn, key=lambda face: face[:2])[::-1]}
    count, kept = collections.Counter(), []
    for _, face in sorted(different.items()):
        count[face.family] += 1
        if count[face.family] <= FACES:
            kept.append(face)
    return sorted(kept, key=lambda face: (face.family, face.style, _checksum(face)))


def _checksum(face: Face) -> bytes:
    return hashlib.blake2b(face.images.tobytes(), digest_size=16).digest()


def groups(used: Sequence[Face]) -> list[int]:
    """A number for each face: faces of different numbers have nothing in common."""
    pixels = np.stack([face.images for face in used]).reshape(len(used), -1) / np.float32(255)
    squares = np.einsum('ij,ij->i', pixels, pixels)
    apart = squares[:, None] + squares - 2 * pixels @ pixels.T
    alike = apart < ALIKE**2 * pixels.shape[1]
    number: dict[str, int] = {}
    words = [number.setdefault(_first_word(face.family), len(number)) for face in used]
    result = np.array(words)
    for i, j in np.argwhere(np.triu(alike, 1)):
        result[result == result[j]] = result[i]
    return result.tolist()


def _first_word(family: str) -> str:
    return family.casefold().split()[0]


def split(used: Sequence[Face], seed: int) -> np.ndarray:
    """The split of each face, text (faces,): whole groups are drawn until a share is full.

    A group that is larger than what is still missing of the share is passed over.
    """
    numbers = np.array(groups(used))
    result = np.full(len(used), 'train', object)
    order = iter(np.random.default_rng(seed).permutation(np.unique(numbers)))
    for name, share in SHARES.items():
        for number in order:
            group = numbers == number
            if np.sum(result == name) + group.sum() <= share * len(used):
                result[group] = name
            if np.sum(result == name) + 1 > share * len(used):
                break
    return result


def write(used: Sequence[Face], splits: np.ndarray, to: pathlib.Path) -> dict:
    """Writes DIR/<split>/<letter>/*.png and DIR/letters.json; returns what is in the latter.

    `splits` is as `split` gives it.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in ('train', *SHARES):
        for letter in string.ascii_uppercase:
            (to / part / letter).mkdir(parents=True, exist_ok=True)
        for k in np.flatnonzero(splits == part):
            face = used[k]
            name = re.sub(r'\W+', '-', f'{face.family} {face.style} {k}'.lower(), flags=re.ASCII)
            for letter, image in zip(LETTERS, face.images):
                case = 'upper' if letter.isupper() else 'lower'
                path = to / part / letter.upper() / f'{name}-{case}.png'
                Image.fromarray(image).save(path)
                digest.update(f'{path.relative_to(to)}\n'.encode() + image.tobytes())
    facts = _facts(used, splits) | {'digest': digest.hexdigest()}
    (to / 'letters.json').write_text(json.dumps(facts, indent=1, ensure_ascii=False) + '\n')
    return facts


def _facts(used: Sequence[Face], splits: np.ndarray) -> dict:
    """Counts of each split, images that look exactly like one of another class, all families."""
    letters: dict[bytes, set[str]] = collections.defaultdict(set)
    for face in used:
        for letter, image in zip(LETTERS, face.images):
            letters[image.tobytes()].add(letter.upper())
    facts: dict = {'classes': 26, 'names': {}}
    for part in ('train', *SHARES):
        own = [used[k] for k in np.flatnonzero(splits == part)]
        styles = collections.defaultdict(list)
        for face in own:
            styles[face.family].append(face.style)
        facts[part] = {
            'families': len(styles),
            'faces': len(own),
            'images': len(own) * len(LETTERS),
            'as another class': sum(
                len(letters[image.tobytes()]) > 1 for face in own for image in face.images
            ),
        }
        facts['names'][part] = dict(styles)
    return facts


def advice(images: int) -> str:
    """What to install where the fonts give that few test images, in one line."""
    packages = ' '.join(f'fonts-{name}' for name in PACKAGES)
    return (
        f'the installed fonts give {images:,} test images, fewer than {LEAST_TEST:,}: '
        f'apt-get install --no-install-recommends fontconfig {packages}'
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.letters', description=__doc__)
    parser.add_argument('--to', required=True, type=pathlib.Path, help='the folder to write')
    parser.add_argument('--seed', type=int, default=0, help='of the split')
    options = parser.parse_args(arguments)
    if options.to.exists() and any(options.to.iterdir()):
        print(f'--to={options.to} is not empty: name a new folder', file=sys.stderr)
        return 2
    used = faces(installed())
    splits = split(used, options.seed) if used else np.zeros(0, object)
    images = int(np.sum(splits == 'test')) * len(LETTERS)
    if images < LEAST_TEST:
        print(advice(images), file=sys.stderr)
        return 2
    facts = write(used, splits, options.to)
    counts = {name: value for name, value in facts.items() if name != 'names'}
    print(json.dumps(counts))
    return 0


if __name__ == '__main__':
    sys.exit(main())
