"""The families of models.

A family is a module with
- `Architecture`: the sizes of one model (frozen, JSON), which refuses sizes that cannot be;
- `SEARCHED`: the names of its dimensions;
- `architecture(choices, **inputs)`: an `Architecture` of choices and of the values of config.model;
- `stages(names)`: which dimensions give the numbers of blocks;
- `stock(**inputs)`: the shape of a well-known model, a value for every dimension, from which a
  hand-made model is scaled where a config gives none (see `search/derive.py`);
- `sizes_of(arch)`: the NamedTuple of sizes that the forward pass needs, in hierarchical families
  one of them per stage; a field `depth` is a number of blocks, a tuple holds one size per block
  (see `elastic`);
- `Model(arch, dtype, drop_path)`: a Flax module, `model(inputs, sizes, key)`; a key means training;
- `params(arch)` and `macs(arch)`: exact closed forms;
- `decays(path)`: whether weight decay applies to a parameter;
- `Block`, the Flax module of its blocks, which returns what can be its first argument; where the
  blocks of a stage repeat after more than one, `PERIOD` is that number: see `latency`;
- `Inputs`, where its models do not see the images themselves: see `models/inputs.py`.

The costs of a family with a frozen encoder are those of what is searched, without the encoder.
"""

from typing import Any

from s4jax.models import clip, shunted, swin, vit
from s4jax.models.inputs import Images

FAMILIES: dict[str, Any] = {
    'shunted': shunted,
    'swin': swin,
    'vit': vit,
    'clip': clip,
}
COSTS = ('params', 'macs')


def inputs_of(family: Any) -> type[Images]:
    """What the models of a family see: the images, unless the family says otherwise."""
    return getattr(family, 'Inputs', Images)
