"""What the oracles hold of published models, for the tests of models and of their importers."""

import json

import numpy as np
from runs import ORACLES

from s4jax.models import FAMILIES, vit


def state(oracle, prefix):
    """The arrays whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: oracle[name] for name in oracle.files if name.startswith(prefix)}


def autoformer_subnets(oracle):
    """(number, published number of parameters, architecture) of each subnet of the oracle."""
    for i, subnet in enumerate(json.loads(str(oracle['meta']))['subs']):
        config = subnet['config']
        arch = vit.Architecture(
            image_size=32,
            patch=8,
            classes=7,
            embed_dim=config['embed_dim'][0],
            depth=config['layer_num'],
            num_heads=tuple(config['num_heads']),
            mlp_ratio=tuple(config['mlp_ratio']),
        )
        yield i, subnet['params'], arch


def hierarchical(name):
    """(architecture, state dict, images (batch, size, size, 3), oracle) of Swin or Shunted."""
    oracle = np.load(ORACLES / f'{name}.npz')
    stages = {
        key: tuple(map(int, oracle[key]))
        for key in ('depths', 'num_heads', 'sr_ratios')
        if key in oracle.files
    }
    if name == 'swin':
        given = dict(embed_dim=24, window=4, mlp_ratio=(4.0,) * sum(stages['depths']))
    else:
        given = dict(
            embed_dim=16,
            stem_width=16,
            num_conv=int(oracle['num_conv']),
            mlp_ratio=tuple(map(float, oracle['mlp_ratio'])),
        )
    arch = FAMILIES[name].Architecture(image_size=64, classes=10, **given, **stages)
    return arch, state(oracle, 'param:'), oracle['images'].transpose(0, 2, 3, 1), oracle
