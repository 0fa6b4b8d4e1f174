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

A family named in ENCODERS has models whose inputs are the states of a frozen encoder (see `s4jax/encoder.py`): the first
tokens and the outputs of its last `arch.depth` layers. Its costs are those of what is searched, without the encoder.
"""

from s4jax.models import shunted, swin, vit
from s4jax.models.clip import decoder as ladder
from s4jax.models.clip import tower as clip

FAMILIES = {
    'shunted': shunted,
    'swin': swin,
    'vit': vit,
    'clip': ladder,
}
ENCODERS = {  # of the families whose inputs are not images but a frozen encoder's states
    'clip': clip,
}
COSTS = ('params', 'macs')
