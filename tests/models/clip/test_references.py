"""What an encoder reaches by itself: counted without the padding, by a probe that can be checked and by given texts."""

import numpy as np

from s4jax.models.clip.references import encoder_alone
from s4jax.runtime import mesh


def batches(rng, count):
    """Pooled states near the corner of their class; the last three of each batch are padding of another class."""
    place = mesh.create()
    for _ in range(count):
        labels = rng.integers(0, 3, 16)
        pooled = 3 * np.eye(3)[labels] + rng.normal(size=(16, 3)) * 0.3
        real = np.arange(16) < 13
        pooled[~real] = 3 * np.eye(3)[(labels[~real] + 1) % 3]
        yield mesh.shard(
            place, {'pooled': pooled.astype(np.float32), 'labels': labels, 'real': real}
        )


def test_probe_and_zero_shot():
    rng = np.random.default_rng(0)
    turned = np.eye(3)[:, [1, 0, 2]]  # the names of the first two classes are mixed up
    references = encoder_alone(batches(rng, 6), turned, 'names')
    probe, told = references['probe']
    assert told == "logistic regression (C=0.316) on the encoder's pooled states of 78 images"
    for batch in batches(rng, 3):
        labels = np.asarray(batch['labels'])[:13]
        assert probe(batch) == 13
        assert references['zero-shot'][0](batch) == np.sum(labels == 2)
    assert encoder_alone(batches(rng, 6), None, 'why')['zero-shot'] == (None, 'why')
