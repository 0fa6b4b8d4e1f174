"""Images and labels: prepared once as arrays, split by the seed, batched by the step."""

from s4jax.data.batches import Batches, in_order
from s4jax.data.sources import DataSettings
from s4jax.data.splits import Data, Split, TestSplitSealed, load, stratified

__all__ = [
    'Batches',
    'Data',
    'DataSettings',
    'Split',
    'TestSplitSealed',
    'in_order',
    'load',
    'stratified',
]
