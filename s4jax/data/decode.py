"""From a file's bytes to the stored pixels, or the reason why an image cannot be read."""

import io
import os
import pathlib
import stat
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Recognised by content: a wrong suffix does not matter.
FORMATS = ('PNG', 'JPEG', 'BMP', 'WEBP', 'GIF')
SUFFIXES = ('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.bmp', '.webp', '.gif')

# Pillow refuses twice as many pixels as it warns of; an image of 100 megapixels is no attack.
MOST_PIXELS = 178_956_970
MOST_BYTES = 2**29  # of a file
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)


class Unreadable(Exception):
    """An image that cannot be read; the message is the reason."""


class Decoded(NamedTuple):
    """Stored pixels, and what the image was before."""

    pixels: np.ndarray  # uint8 (size, size, channels)
    height: int
    width: int
    animated: bool  # there were frames beyond the first


def read(path: pathlib.Path) -> bytes:
    """A file's bytes; raises `Unreadable` where it is no ordinary file or too large, and OSError.

    A pipe or a device, such as a link to /dev/zero, would have no end.
    """
    at_once = lambda name, flags: os.open(name, flags | os.O_NONBLOCK)  # a pipe would wait
    with open(path, 'rb', opener=at_once) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise Unreadable('it is not an ordinary file')
        if facts.st_size > MOST_BYTES:
            raise Unreadable(f'it has more than {MOST_BYTES:,} bytes')
        return file.read(MOST_BYTES)


def decode(data: bytes, size: int, channels: int) -> Decoded:
    """An encoded image, upright (EXIF), on white where transparent, its centre resized to `size`.

    channels: 1 (grey) or 3 (RGB). Of an animation the first frame is taken. Raises `Unreadable`.
    """
    if not data:
        raise Unreadable('the file is empty')
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:  # before anything is decoded
                raise Unreadable(f'it has more than {MOST_PIXELS:,} pixels')
            # MPO is a photo and its preview
            animated = getattr(image, 'is_animated', False) and image.format != 'MPO'
            image.seek(0)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            pixels = stored(image, size, channels)
            return Decoded(pixels, image.height, image.width, bool(animated))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(f'it is not a {", ".join(FORMATS)} image') from None
    except Image.DecompressionBombError:
        raise Unreadable(f'it has more than {MOST_PIXELS:,} pixels') from None
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise Unreadable(f'{type(error).__name__}: {error}'.splitlines()[0]) from None


def stored(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """uint8 (size, size, channels): the largest centred square, resized (bicubic), on white."""
    if image.mode.startswith(('I', 'F')):  # 16 bits a pixel: grey, 0 to 65,535
        levels = np.round(np.asarray(image, np.float32) / 257)
        image = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    mode = 'RGB' if channels == 3 else 'L'
    transparent = image.has_transparency_data
    image = image.convert('RGBA' if transparent else mode)
    if image.size != (size, size):
        short = min(image.size)
        left, top = ((side - short) / 2 for side in image.size)
        centre = left, top, left + short, top + short
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=centre)
    if transparent:  # only now: Pillow weights colours by their opacity when it resizes
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert(mode)
    return np.asarray(image).reshape(size, size, channels)
