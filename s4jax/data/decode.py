"""From a file's bytes to the stored pixels: every kind of image that people keep in folders, and why one cannot be read."""

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ('PNG', 'JPEG', 'BMP', 'WEBP', 'GIF')      # told by content; a wrong suffix does not matter
SUFFIXES = ('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.bmp', '.webp', '.gif')

# Pillow refuses twice this many pixels; below that it only warns, and an image of 100 megapixels is nobody's attack
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)


class Unreadable(Exception):
    """Why an image cannot be read."""


class Decoded(NamedTuple):
    """uint8 pixels (size, size, channels); height and width before; whether there were frames beyond the first."""

    pixels: np.ndarray
    height: int
    width: int
    animated: bool


def decode(data: bytes, size: int, channels: int) -> Decoded:
    """An encoded image, upright (EXIF), on white where it is transparent, short side resized to `size`, centre crop.

    `channels` is 1 (grey) or 3 (RGB). Of an animation the first frame is taken. Raises `Unreadable`.
    """
    if not data:
        raise Unreadable('the file is empty')
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            animated = getattr(image, 'is_animated', False) and image.format != 'MPO'      # MPO: a photo and its preview
            image.seek(0)
            image.load()
            upright = _flat(ImageOps.exif_transpose(image), channels)
    except UnidentifiedImageError:
        raise Unreadable(f'it is no {", ".join(FORMATS)} image') from None
    except Image.DecompressionBombError:
        raise Unreadable(f'it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels') from None
    except Exception as error:      # a damaged file makes Pillow raise almost anything
        raise Unreadable(f'{type(error).__name__}: {error}'.splitlines()[0]) from None
    return Decoded(stored(upright, size, channels), upright.height, upright.width, bool(animated))


def _flat(image: Image.Image, channels: int) -> Image.Image:
    """8 bits a channel, without transparency, grey or RGB."""
    if image.mode.startswith(('I', 'F')):      # 16 bits a pixel: grey, 0 to 65,535
        image = Image.fromarray(np.clip(np.round(np.asarray(image, np.float64) / 257), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    return image.convert('RGB' if channels == 3 else 'L')


def stored(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """uint8 (size, size, channels): the largest centred square, resized (bicubic)."""
    short, left, top = min(image.size), *((side - min(image.size)) / 2 for side in image.size)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    return np.asarray(image).reshape(size, size, channels)
