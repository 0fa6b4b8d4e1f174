"""The default inputs: images as they are, in training, in evaluation, and kept for scoring."""

import numpy as np
import pytest

from s4jax.models import FAMILIES, inputs_of, vit
from s4jax.models.inputs import Images
from s4jax.runtime import mesh
from s4jax.search.space import Dimension

ARCH = vit.Architecture(
    image_size=4,
    channels=1,
    patch=2,
    classes=2,
    embed_dim=8,
    depth=1,
    num_heads=(1,),
    mlp_ratio=(1,),
)


@pytest.fixture
def inputs():
    return Images.create(None, {}, lambda images: images / 255, mesh.create(), 0)


def test_every_family_has_inputs():
    assert {name: inputs_of(family).__name__ for name, family in FAMILIES.items()} == {
        'shunted': 'Images',
        'swin': 'Images',
        'vit': 'Images',
        'clip': 'States',
    }


def test_images_are_the_inputs(inputs, tmp_path):
    images = np.full((2, 4, 4, 1), 51, np.uint8)
    assert inputs.train(ARCH, inputs.variables, images) is images
    np.testing.assert_allclose(inputs.evaluate(ARCH, {'images': images}), 0.2)
    example = inputs.example(ARCH)
    assert example.shape == (1, 4, 4, 1) and example.dtype == np.float32 and not example.any()
    kept = inputs.kept(ARCH, lambda: [{'images': images}], tmp_path, {}, mesh.create(), print)
    for _ in range(2):  # they can be iterated again
        (batch,) = kept
        np.testing.assert_array_equal(batch['images'], images)
    assert not list(tmp_path.iterdir())


def test_there_is_nothing_to_say_of_an_encoder(inputs):
    dimension = Dimension('depth', 1, 2, 1)
    assert inputs.bounded(dimension) is dimension
    assert inputs.facts is None and inputs.given == {} and inputs.references([], ()) == {}
