"""Folders of images as the tests load them."""

from s4jax import data
from s4jax.data import DataSettings
from s4jax.settings import read

CLASSES = {'ants': 40, 'bees': 30, 'cats': 20}


def load(root, seed=0, size=16, stop=lambda: False, **options):
    values = dict(name='folder', root=str(root), storage_size=size, **options)
    return data.load(read(DataSettings, values, 'data'), seed, stop)


def names(loaded, split):
    return {loaded.prepared.names()[i] for i in loaded.splits[split]}
