"""What the images of a dataset are like, from a sample, before any of them is prepared."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from s4jax.data import folder, sources
from s4jax.data.decode import Unreadable, decode
from s4jax.data.sources import DataSettings
from s4jax.errors import UsageError

SAMPLE = 256  # images that are looked at
LOOKED_AT = 32  # pixels of their sides when their colours are looked at
GREY = 3  # levels of 255 by which the channels of a grey image may differ


@dataclasses.dataclass(frozen=True)
class Survey:
    """The number of images and classes; of a sample: the median short side and the colours.

    `validation` and `test` are the images in splits of their own. `mean` and `std` have a value
    for each channel, from 0 to 1.
    """

    images: int
    classes: int
    validation: int
    test: int
    side: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        values: dict[str, Any] = dict(row)
        return cls(**values | {name: tuple(row[name]) for name in ('mean', 'std')})


def survey(settings: DataSettings) -> Survey:
    """Looks at a folder, or at a dataset that is prepared."""
    if settings.name == 'folder':
        items = folder.items(folder.resolved(settings.root))
        found = []
        for i in _evenly(len(items)):
            try:
                found.append(decode(items.read(i)[0], LOOKED_AT, 3))
            except (Unreadable, OSError):
                continue
        if not found:
            raise UsageError(f'data.root={settings.root}: none of a sample of images can be read')
        sides = [min(one.height, one.width) for one in found]
        pixels = np.stack([one.pixels for one in found])
        counts, classes = items.counts, len(items.class_names)
    else:
        prepared = sources.load(settings)
        chosen = _evenly(len(prepared.images))
        rows, pixels = prepared.rows[chosen], prepared.images[chosen]
        sides = np.minimum(rows['height'], rows['width']).tolist()
        names = ('train', 'validation', 'test')
        counts = {name: len(prepared.split(name)) for name in names}
        classes = len(prepared.class_names)
    mean, std = _colours(pixels)
    return Survey(
        images=sum(counts.values()),
        classes=classes,
        validation=counts.get('validation', 0),
        test=counts.get('test', 0),
        side=int(np.median(sides)),
        channels=len(mean),
        mean=mean,
        std=std,
    )


def _evenly(count: int) -> list[int]:
    """At most SAMPLE indices, evenly spaced: folders and classes follow each other."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, SAMPLE))})


def _colours(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of uint8 (n, h, w, c); one where all images are grey."""
    if np.ptp(pixels.astype(np.int16), axis=-1).max() <= GREY:
        pixels = pixels[..., :1]
    values = pixels.reshape(-1, pixels.shape[-1]) / 255
    mean = tuple(round(float(value), 3) for value in values.mean(0))
    std = tuple(max(0.05, round(float(value), 3)) for value in values.std(0))
    return mean, std
