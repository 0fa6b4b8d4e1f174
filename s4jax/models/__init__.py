"""The families of models.

A family is a module with
- `Architecture`: the sizes of one model (frozen, JSON), and `architecture(choices, **inputs)` that makes one from choices;
- `SEARCHED`: the names of its dimensions;
- `stages(names)`: which dimensions give the numbers of blocks;
- `sizes_of(arch)`: the tuple of sizes that the forward pass needs (see `elastic`);
- `Model(arch, dtype, drop_path)`: a Flax module, `model(inputs, sizes, key)`; a key means training;
- `params(arch)` and `macs(arch)`: exact closed forms;
- `decays(path)`: whether weight decay applies to a parameter.

A family named in ENCODERS has models whose inputs are the states of a frozen encoder (see `s4jax/encoder.py`): the first
tokens and the outputs of its last `arch.depth` layers. Its costs are those of what is searched, without the encoder.
"""

from s4jax.models import clip, ladder, shunted, swin, vit

FAMILIES = {
    'shunted': shunted,
    'swin': swin,
    'vit': vit,
    'clip': ladder,
}
ENCODERS = {      # of the families whose inputs are not images but a frozen encoder's states
    'clip': clip,
}
COSTS = ('params', 'macs')
