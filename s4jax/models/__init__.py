"""The families of models.

A family is a module with
- `Architecture`: the sizes of one model (frozen, JSON), which refuses sizes that cannot be;
- `SEARCHED`: the names of its dimensions, and `architecture(choices, **inputs)`: an `Architecture` of choices and config.model;
- `stages(names)`: which dimensions give the numbers of blocks;
- `sizes_of(arch)`: the NamedTuple of sizes that the forward pass needs, in hierarchical families one of them per stage; a field
  `depth` is a number of blocks, a tuple holds one size per block (see `elastic`);
- `Model(arch, dtype, drop_path)`: a Flax module, `model(inputs, sizes, key)`; a key means training;
- `params(arch)` and `macs(arch)`: exact closed forms;
- `decays(path)`: whether weight decay applies to a parameter.
"""

from s4jax.models import shunted, swin, vit

FAMILIES = {
    'shunted': shunted,
    'swin': swin,
    'vit': vit,
}
COSTS = ('params', 'macs')
