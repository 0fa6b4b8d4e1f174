"""Batches of a split: shuffled for training, in order for scoring, this host's part of each."""

from collections.abc import Iterator

import grain
import numpy as np

from s4jax.data.splits import Split
from s4jax.errors import UsageError
from s4jax.runtime import mesh as meshes

Batch = dict[str, np.ndarray]  # images uint8 (B, H, W, C), labels int32 (B,), maybe real bool (B,)


class Batches:
    """Training batches as a pure function of the step.

    Every epoch has an order of its own; it is the same for any number of hosts.
    """

    def __init__(self, split: Split, size: int, seed: int) -> None:
        """size: images in a batch of all hosts together."""
        if size > len(split):
            raise UsageError(
                f'batch_size={size} exceeds the {len(split)} training images: lower it'
            )
        if size % meshes.round_up(1):
            raise UsageError(
                f'batch_size={size} must be a multiple of the {meshes.round_up(1)} devices'
            )
        self.split, self.size = split, size
        shuffled = grain.MapDataset.range(len(split)).shuffle(seed=seed).repeat()
        self._order = shuffled.batch(size, drop_remainder=True)

    def __call__(self, step: int) -> Batch:
        """This host's part of batch `step`."""
        positions = np.asarray(self._order[step])
        part = self.split.take(positions[meshes.local_slice(self.size)])
        return {'images': part.images, 'labels': part.labels}


def in_order(split: Split, size: int) -> Iterator[Batch]:
    """This host's parts of the batches of a whole split, in order, the last one padded.

    They have at most `size` images, rounded up to the devices, and as few as so many batches need,
    so that little is padding. `real` is True where an image is not padding.
    """
    batches = max(1, -(-len(split) // size))
    size = meshes.round_up(-(-len(split) // batches))
    own = meshes.local_slice(size)
    for start in range(0, len(split), size):
        positions = np.arange(start, start + size)
        part = split.take(np.minimum(positions, len(split) - 1)[own])
        real = (positions < len(split))[own]
        yield {'images': part.images, 'labels': part.labels, 'real': real}
