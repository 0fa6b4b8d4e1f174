"""From a file's bytes to the stored pixels: every kind of image that people keep in folders, and why one cannot be read."""

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ('PNG', 'JPEG', 'BMP', 'WEBP', 'GIF')  # told by content; a wrong suffix does not matter
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
            animated = (
                getattr(image, 'is_animated', False) and image.format != 'MPO'
            )  # MPO: a photo and its preview
            image.seek(0)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            pixels = stored(image, size, channels)
            return Decoded(pixels, image.height, image.width, bool(animated))
    except UnidentifiedImageError:
        raise Unreadable(f'it is no {", ".join(FORMATS)} image') from None
    except Image.DecompressionBombError:
        raise Unreadable(f'it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels') from None
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise Unreadable(f'{type(error).__name__}: {error}'.splitlines()[0]) from None


def stored(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """uint8 (size, size, channels): the largest centred square, resized (bicubic), on white."""
    if image.mode.startswith(('I', 'F')):  # 16 bits a pixel: grey, 0 to 65,535
        image = Image.fromarray(
            np.clip(np.round(np.asarray(image, np.float32) / 257), 0, 255).astype(np.uint8)
        )
    mode = 'RGB' if channels == 3 else 'L'
    transparent = image.has_transparency_data
    image = image.convert('RGBA' if transparent else mode)
    if image.size != (size, size):
        short, left, top = min(image.size), *((side - min(image.size)) / 2 for side in image.size)
        image = image.resize(
            (size, size), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short)
        )
    if transparent:  # only now: Pillow weights colours by their opacity when it resizes
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert(mode)
    return np.asarray(image).reshape(size, size, channels)
