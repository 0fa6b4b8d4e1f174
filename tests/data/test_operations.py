"""RandAugment's operations against Pillow on photographs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from photographs import FILL, MAGNITUDES, SIZE, drawn_operations, once, photographs, pillow, planes
from PIL import Image

from s4jax.data import operations
from s4jax.data.operations import INDEX, OPERATIONS

# The share of values that may be one grey level off. Autocontrast: Pillow rounds its scale twice.
# Blends: it cuts off the same float32, but without a fused multiply-add. Warps: double precision.
DIFFERENT = {
    'autocontrast': 1e-3,
    'contrast': 5e-3,
    'brightness': 5e-3,
    'colour': 5e-3,
    'sharpness': 5e-3,
    'rotate': 5e-3,
    'shear_x': 5e-3,
    'shear_y': 5e-3,
    'translate_x': 5e-3,
    'translate_y': 5e-3,
}
# A rotated place within 1e-5 of the image's edge may fall on the other side of it.
EDGE = {'rotate': 1e-3}


@pytest.fixture(scope='module')
def drawn():
    """(operations, the number of each one's photograph)."""
    return drawn_operations()


@pytest.fixture(scope='module')
def applied(drawn):
    """Channels -> (images, the images after their operations), of one compiled call each."""
    layer, photo = drawn
    colour = photographs(SIZE)
    grey = np.stack([np.asarray(Image.fromarray(image).convert('L')) for image in colour])
    grey = grey[..., None]
    results = {}
    for images, shards in ((colour[photo], 1), (grey[photo], 4)):
        channels = images.shape[-1]
        after = once(planes(images), layer, FILL[:channels], shards)
        results[channels] = images, np.moveaxis(np.asarray(after), 1, -1)
    return results


@pytest.mark.parametrize('channels', [3, 1])
@pytest.mark.parametrize('name', OPERATIONS)
def test_operation_is_pillows(applied, drawn, name, channels):
    images, results = applied[channels]
    op, magnitude, negate = drawn[0]
    rows = np.flatnonzero(op == INDEX[name])
    assert len(rows) == len(MAGNITUDES) * 2 * 4
    squeezed = images if channels == 3 else images[..., 0]
    by_pillow = [
        np.asarray(pillow(name, Image.fromarray(squeezed[row]), magnitude[row], negate[row]))
        for row in rows
    ]
    expected = np.stack(by_pillow).reshape(-1, *images.shape[1:])
    off = np.abs(results[rows].astype(int) - expected)
    assert np.mean(off > 0) <= DIFFERENT.get(name, 0)
    assert np.mean(off > 1) <= EDGE.get(name, 0)
    if (name, channels) != ('colour', 1):
        assert np.mean(expected != images[rows]) > 0.05  # or nothing would have been compared


def test_extremes(drawn):
    """Posterize keeps 0 bits at magnitude 10, which Pillow refuses; a flat image stays."""
    op, magnitude, negate = (a.copy() for a in drawn[0])
    op[:3], magnitude[:3] = [INDEX[name] for name in ('posterize', 'equalize', 'autocontrast')], 10
    flat = np.full((len(op), 3, SIZE, SIZE), 77, np.uint8)
    results = np.asarray(once(flat, type(drawn[0])(op, magnitude, negate)))
    assert np.all(results[0] == 0) and np.all(results[1:3] == 77)


def positions(function, *arguments):
    """The types of the positions at which a function reads arrays, once it is traced."""
    found = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ('gather', 'dynamic_slice'):
                found.update(str(position.aval.dtype) for position in equation.invars[1:])
            for inner in jaxprs_in_params(equation.params):
                visit(inner)

    visit(jax.make_jaxpr(function)(*arguments).jaxpr)
    return found


def test_pixels_are_read_at_int32_positions(monkeypatch):
    """With uint32, as before, the TPU compiler aborts; the result is the same to the bit."""
    images = planes(photographs(SIZE))

    def rotations():  # a new function every time, or JAX would not trace it again
        def rotate(images):
            angle = jnp.linspace(-0.5, 0.5, len(images))
            return operations.rotated(np.array(FILL), images, jnp.cos(angle), jnp.sin(angle))

        return rotate

    assert positions(rotations(), images) == {'int32'}
    result = np.asarray(jax.jit(rotations())(images))
    monkeypatch.setattr(operations, 'POSITION', jnp.uint32)
    assert 'uint32' in positions(rotations(), images)
    assert np.array_equal(jax.jit(rotations())(images), result)
