"""Every kind of image that people keep in folders, and many ways in which one is broken."""

import io
import struct
import zlib

import numpy as np
import pytest
from images import encoded, noise
from PIL import Image

from s4jax.data.decode import Unreadable, decode

RAMP = np.add.outer(np.arange(40) * 4, np.arange(40) * 2).astype(np.uint8)  # smooth: JPEG keeps it
COLOUR = np.stack([RAMP, RAMP.T, 255 - RAMP], -1)
# opaque on the left
HALF = np.where(np.arange(40) < 20, 255, 0).astype(np.uint8) * np.ones((40, 1), np.uint8)


def on_white(pixels, alpha):
    return np.where(alpha[..., None] == 255, pixels, 255)


def with_alpha(pixels):
    return Image.fromarray(np.dstack([pixels, HALF]))


def palette(transparent=False):
    image = Image.fromarray(COLOUR).quantize(256)
    return image, np.asarray(image.convert('RGB'))


def turned():
    """A photo stored turned left, with the EXIF orientation that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(np.rot90(COLOUR), 'JPEG', quality=98, exif=exif)


GREY = np.repeat(RAMP[..., None], 3, -1)
ANIMATION = dict(save_all=True, append_images=[Image.fromarray(255 - COLOUR)])
BLACK_OR_WHITE = np.repeat(255 * (RAMP > 100).astype(np.uint8)[..., None], 3, -1)
TO_GREY = dict(save_all=True, append_images=[Image.fromarray(RAMP)])
KINDS = {
    'png': (encoded(COLOUR), COLOUR, 0),
    'png grey': (encoded(RAMP), GREY, 0),
    'png rgba': (encoded(with_alpha(COLOUR)), on_white(COLOUR, HALF), 0),
    'png grey and alpha': (encoded(with_alpha(RAMP)), on_white(GREY, HALF), 0),
    'png 16 bits': (encoded(RAMP.astype(np.uint16) * 257), GREY, 0),
    'png 1 bit': (encoded(Image.fromarray(RAMP > 100)), BLACK_OR_WHITE, 0),
    'png palette': (encoded(palette()[0]), palette()[1], 0),
    'png animated': (encoded(COLOUR, **ANIMATION), COLOUR, 0),
    'jpeg': (encoded(COLOUR, 'JPEG', quality=98), COLOUR, 12),
    'jpeg grey': (encoded(RAMP, 'JPEG', quality=98), GREY, 4),
    'jpeg cmyk': (encoded(Image.fromarray(COLOUR).convert('CMYK'), 'JPEG', quality=98), COLOUR, 12),
    'jpeg turned': (turned(), COLOUR, 12),
    'bmp': (encoded(COLOUR, 'BMP'), COLOUR, 0),
    'webp': (encoded(COLOUR, 'WEBP', lossless=True), COLOUR, 0),
    'webp alpha': (encoded(with_alpha(COLOUR), 'WEBP', lossless=True), on_white(COLOUR, HALF), 0),
    'gif animated': (encoded(palette()[0], 'GIF', **TO_GREY), palette()[1], 0),
}


@pytest.mark.parametrize('kind', KINDS)
def test_kinds(kind):
    data, expected, tolerance = KINDS[kind]
    decoded = decode(data, 40, 3)
    assert decoded.pixels.shape == (40, 40, 3) and decoded.pixels.dtype == np.uint8
    assert np.abs(decoded.pixels.astype(int) - expected).max() <= tolerance
    assert decoded.animated == ('animated' in kind) and (decoded.height, decoded.width) == (40, 40)
    grey = decode(data, 40, 1).pixels[..., 0]
    luma = np.asarray(Image.fromarray(expected.astype(np.uint8)).convert('L'))
    assert np.abs(grey.astype(int) - luma).max() <= max(1, tolerance)


def test_palette_with_a_transparent_colour():
    image = Image.fromarray(np.kron([[0, 1], [2, 3]], np.ones((10, 10))).astype(np.uint8), 'P')
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    decoded = decode(encoded(image, transparency=3), 20, 3).pixels
    assert decoded[0, 0].tolist() == [255, 0, 0]
    assert decoded[0, 19].tolist() == [0, 255, 0]
    assert decoded[19, 19].tolist() == [255] * 3


@pytest.mark.parametrize(
    'height, width, size', [(60, 100, 30), (90, 60, 40), (30, 30, 90), (20, 50, 40)]
)
def test_short_side_and_centre_crop(height, width, size):
    bicubic = Image.Resampling.BICUBIC
    pixels = np.asarray(Image.fromarray(noise(1, 6, 9)).resize((width, height), bicubic))
    scale = size / min(height, width)
    shape = round(width * scale), round(height * scale)
    whole = Image.fromarray(pixels).resize(shape, bicubic)
    left, top = ((side - size) // 2 for side in whole.size)
    decoded = decode(encoded(pixels), size, 3)
    assert (decoded.height, decoded.width) == (height, width)
    expected = np.asarray(whole)[top : top + size, left : left + size]
    assert np.abs(decoded.pixels.astype(int) - expected).max() <= 1


def test_transparent_pixels_do_not_shine_through():
    """A green disc whose transparent surroundings are black, as most programs leave them."""
    y, x = np.mgrid[:80, :80] - 39.5
    inside = (x**2 + y**2 < 900).astype(np.uint8)
    image = Image.fromarray(np.dstack([0 * inside, 200 * inside, 0 * inside, 255 * inside]))
    white = Image.fromarray(np.where(inside[..., None], np.uint8([0, 200, 0]), np.uint8(255)))
    expected = np.asarray(white.resize((20, 20), Image.Resampling.BICUBIC), int)
    # a dark rim would be off by 100; bicubic weights overshoot, opacity cannot
    assert np.abs(decode(encoded(image), 20, 3).pixels - expected).max() <= 16


def test_a_long_strip_needs_no_memory():
    pixels = np.repeat(np.arange(20000, dtype=np.uint8)[:, None], 2, 1)
    # resized whole it would have 640,000 rows
    assert decode(encoded(pixels), 64, 1).pixels.shape == (64, 64, 1)


def huge():
    """A PNG of 30,000×30,000 pixels, in a few bytes."""

    def chunk(kind, data):
        checksum = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + checksum

    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', 30000, 30000, 8, 2, 0, 0, 0))
        + chunk(b'IDAT', zlib.compress(bytes(1000)))
        + chunk(b'IEND', b'')
    )


def tiff():
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, 'TIFF')
    return file.getvalue()


BROKEN = {
    'empty': (b'', 'the file is empty'),
    'text': (b'Not an image.\n', 'it is not a PNG, JPEG, BMP, WEBP, GIF image'),
    'html': (b'<html>404</html>' * 50, 'it is not a PNG'),
    'noise': (noise(3).tobytes(), 'it is not a PNG'),
    'truncated png': (encoded(noise(1))[:700], 'truncated|broken'),
    'truncated jpeg': (encoded(noise(1), 'JPEG')[:500], '[Tt]runcated'),
    'header alone': (encoded(COLOUR)[:20], 'it is not a PNG|truncated|Error'),
    'zero bytes': (bytes(5000), 'it is not a PNG'),
    'huge': (huge(), r'it has more than 178,956,970 pixels'),
    'tiff': (tiff(), 'it is not a PNG'),
    'damaged': (encoded(noise(1))[:60] + bytes(200) + encoded(noise(1))[260:], 'Error|broken'),
    'half a gif': (encoded(noise(2, 90, 90), 'GIF')[:900], 'truncated|Error'),
    'half a webp': (encoded(noise(2), 'WEBP')[:200], 'it is not a PNG|Error'),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_broken(kind):
    data, reason = BROKEN[kind]
    with pytest.raises(Unreadable, match=reason) as error:
        decode(data, 32, 3)
    assert '\n' not in str(error.value) and 'BytesIO' not in str(error.value)
