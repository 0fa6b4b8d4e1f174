"""README.md of an export: how to use its files."""

import json
import operator
from collections.abc import Callable
from typing import Any

from s4jax.models.weights import autoformer

PIXELS = """import json

import numpy as np
from PIL import Image, ImageOps

about = json.load(open('export.json'))
p = about['preprocess']
image = ImageOps.exif_transpose(Image.open('photo.jpg'))
image = image.convert('RGB' if p['channels'] == 3 else 'L')
image = ImageOps.fit(image, (p['storage_size'],) * 2, Image.Resampling.BICUBIC)
"""
INSIDE = """images = np.asarray(image, np.uint8).reshape(1, *about['input']['shape'][1:])
"""
BESIDE = """short = int(p['image_size'] / p['crop_fraction'])
image = image.resize((short, short), Image.Resampling.BICUBIC)
first = round((short - p['image_size']) / 2)
image = image.crop((first, first, first + p['image_size'], first + p['image_size']))
pixels = np.asarray(image, np.float32).reshape(1, *about['input']['shape'][1:]) / 255
images = ((pixels - p['mean']) / p['std']).astype(np.float32)
"""
CALLS = {
    'onnx': """import onnxruntime

session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])
logits = session.run(['logits'], {'images': images})[0]
""",
    'stablehlo': """import pathlib
import jax

program = jax.export.deserialize(bytearray(pathlib.Path('model.stablehlo').read_bytes()))
logits = np.asarray(program.call(images))
""",
}
TRANSPOSED = """images = images.transpose(0, 3, 1, 2)
"""
LABEL = "print(about['class_names'][logits[0].argmax()])\n"
LOAD = """import s4jax

model = s4jax.load('.')  # the path of this folder
print(model.predict(['photo.jpg'])[0])
"""
STATE_DICT = """from safetensors.torch import load_file

state = load_file('FILE.safetensors')
module.load_state_dict(state, strict=True)
"""
NOTES = {
    'safetensors': """`model.safetensors` holds the weights under the paths of our variables,
`export.json` the sizes, the class names and the run's config. This is the export to keep: both
files are plain, and no library's version matters. An encoder's weights are not here: they stay
where the run had them.""",
    'stablehlo': """`model.stablehlo` is a program of `jax.export` for CPU, CUDA and TPU, for a
batch of any size. JAX reads it for about six months of its releases; keep a safetensors export,
too.""",
    'onnx': '`model.onnx` is a program for a batch of any size.',
    'pytorch': """Each `.safetensors` is a state dict by the names of one published PyTorch module,
called after its publisher.""",
}


# by family: what to say of the state dicts, and the sizes that a published module needs for it
PUBLISHED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    'vit': (
        """AutoFormer's module takes subnets of a supernet: build `Vision_TransformerSuper` with
the largest of the values below, load the state dict strictly, and give the values to
`set_sample_config`:

```
{}
```""",
        autoformer.subnet,
    ),
    'swin': (
        """`microsoft.safetensors` fits Microsoft's module, with its masks and indices,
`timm.safetensors` timm's. Both modules have one `mlp_ratio` for all blocks; where the hidden widths
of blocks differ, replace `block.mlp` of each before loading. They are, by stage: {}.""",
        operator.attrgetter('hidden'),
    ),
    'shunted': (
        """The authors' module has one `mlp_ratio` for each stage; where the hidden widths of
blocks differ, replace `block.mlp` of each before loading. They are, stage by stage: {}.""",
        operator.attrgetter('hidden'),
    ),
}


def text(facts: dict[str, Any], arch: Any) -> str:
    """How to use the files of an export; facts: its export.json."""
    kind, classes = facts['format'], len(facts['class_names'])
    inputs, preprocess = facts['input'], json.dumps(facts['preprocess'])
    shape, axes = ', '.join(map(str, inputs['shape'])), ', '.join(inputs['axes'])
    lines = [
        f'# {facts["family"]}, {classes} classes: {kind}',
        NOTES[kind],
        f'```python\n{_code(facts)}```',
    ]
    if kind == 'pytorch':
        lines += [
            _published(facts['family'], arch),
            'The module takes images such as this one:',
            f'```python\n{PIXELS}{BESIDE}{TRANSPOSED}```',
        ]
    lines += [
        f'Input `images`: {inputs["dtype"]} ({shape}), axes ({axes}). Output: logits float32 '
        f'(batch, {classes}), in the order of `class_names` in `export.json`.',
        f'Preprocessing: `{preprocess}`.',
        '`parity.md` compares this export with JAX.',
    ]
    return '\n\n'.join(lines) + '\n'


def _code(facts: dict[str, Any]) -> str:
    """The lines of Python that use the files."""
    kind = facts['format']
    if kind == 'safetensors':
        return LOAD
    if kind == 'pytorch':
        return STATE_DICT
    where = INSIDE if facts['preprocess']['where'] == 'inside' else BESIDE
    return PIXELS + where + CALLS[kind] + LABEL


def _published(family: str, arch: Any) -> str:
    """What the published module has to be built with."""
    words, sizes = PUBLISHED[family]
    return words.format(json.dumps(sizes(arch)))
