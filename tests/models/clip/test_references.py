"""What an encoder reaches by itself, counted without the padding."""

import numpy as np

from s4jax.models.clip.references import linear_probe, zero_shot
from s4jax.runtime import mesh


def batches(rng, count):
    """Pooled states near the corner of their class; the last three rows are padding, and wrong."""
    place = mesh.create()
    for _ in range(count):
        labels = rng.integers(0, 3, 16)
        pooled = 3 * np.eye(3)[labels] + rng.normal(size=(16, 3)) * 0.3
        real = np.arange(16) < 13
        pooled[~real] = 3 * np.eye(3)[(labels[~real] + 1) % 3]
        batch = {'pooled': pooled.astype(np.float32), 'labels': labels, 'real': real}
        yield mesh.shard(place, batch)


def test_probe_and_zero_shot():
    rng = np.random.default_rng(0)
    probe, description = linear_probe(batches(rng, 6))
    assert (
        description == "logistic regression (C=0.316) on the encoder's pooled states of 78 images"
    )
    turned = np.eye(3)[:, [1, 0, 2]]  # the names of the first two classes are mixed up
    named, words = zero_shot(turned, 'names')
    assert words == 'names'
    for batch in batches(rng, 3):
        labels = np.asarray(batch['labels'])[:13]
        assert probe(batch) == 13
        assert named(batch) == np.sum(labels == 2)
    assert zero_shot(None, 'why') == (None, 'why')
