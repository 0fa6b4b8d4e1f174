"""A decoder beside a frozen CLIP: the family's models; their inputs are the states of the tower."""

from s4jax.models.clip.decoder import (
    SEARCHED,
    Architecture,
    Block,
    Model,
    architecture,
    decays,
    macs,
    params,
    sizes_of,
    stages,
    stock,
)
from s4jax.models.clip.inputs import States as Inputs

__all__ = [
    'SEARCHED',
    'Architecture',
    'Block',
    'Inputs',
    'Model',
    'architecture',
    'decays',
    'macs',
    'params',
    'sizes_of',
    'stages',
    'stock',
]
