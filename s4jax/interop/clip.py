"""CLIP's published weights: Hugging Face folders and files, OpenAI's and OpenCLIP's names, safetensors or PyTorch files."""

import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from s4jax.errors import UsageError
from s4jax.models.clip import EPSILON, Architecture

FILES = ('model.safetensors', 'open_clip_model.safetensors', 'pytorch_model.bin')      # in a folder, the first that is there
WANTED = ('model.safetensors', 'config.json')      # of a repository on the hub
NAMES = {      # OpenAI's names of a block -> Hugging Face's
    'ln_1': 'layer_norm1', 'ln_2': 'layer_norm2', 'attn.out_proj': 'self_attn.out_proj', 'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2'}
OUTSIDE = {
    'class_embedding': 'embeddings.class_embedding', 'conv1.weight': 'embeddings.patch_embedding.weight',
    'positional_embedding': 'embeddings.position_embedding.weight', 'ln_pre.weight': 'pre_layrnorm.weight',
    'ln_pre.bias': 'pre_layrnorm.bias', 'ln_post.weight': 'post_layernorm.weight', 'ln_post.bias': 'post_layernorm.bias'}


def load(weights: str) -> tuple[Architecture, Any]:
    """The vision tower of a folder, a file or a repository on the hub: its sizes, and variables for `clip.Tower`."""
    path = find(weights)
    return tower(read(path), settings(path))


def find(weights: str) -> pathlib.Path:
    """The file of the weights; it is fetched where `weights` is the name of a repository on the hub and no folder here."""
    path = pathlib.Path(weights).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                return path / name
        raise UsageError(f'encoder.weights={weights} holds none of {", ".join(FILES)}: {advice(weights)}')
    if re.fullmatch(r'[\w.-]+/[\w.-]+', weights) is None:
        raise UsageError(f'encoder.weights={weights} does not exist: {advice("openai/clip-vit-base-patch16")}')
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError(f'encoder.weights={weights} is no folder here, and huggingface_hub, which could fetch it, is not '
                         f"installed: pip install 's4jax[hub]', or {advice(weights)}") from None
    try:
        return find(huggingface_hub.snapshot_download(weights, allow_patterns=list(WANTED)))
    except UsageError:
        raise
    except Exception as error:      # offline, a name that nobody has, no permission: the library has a type for each
        raise UsageError(f'encoder.weights={weights} is no folder here and could not be fetched from the hub '
                         f'({type(error).__name__}): {advice(weights)}') from None


def advice(weights: str) -> str:
    name = weights if re.fullmatch(r'[\w.-]+/[\w.-]+', weights) else 'openai/clip-vit-base-patch16'
    return (f'download {" and ".join(WANTED)} of https://huggingface.co/{name} into a folder and name it, '
            '--config.encoder.weights=FOLDER')


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The vision tower's part of a file, or all of a file that holds nothing else, by Hugging Face's names."""
    try:
        if path.suffix == '.safetensors':
            import safetensors
            with safetensors.safe_open(path, 'numpy') as file:
                names = list(file.keys())
                return renamed({name: file.get_tensor(name) for name in vision(names)})
        state = _read_torch(path)
        return renamed({name: state[name].float().numpy() for name in vision(state)})
    except UsageError:
        raise
    except Exception as error:      # truncated, no such format, a type that NumPy does not know: each reader has its own errors
        raise UsageError(f'{path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0][:100]}): is it whole? '
                         f'{advice(path.parent.name)}') from None


def _read_torch(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError:
        raise UsageError(f'{path} is a PyTorch file: pip install torch to read it, or {advice("")}') from None
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception:      # OpenAI's own files are TorchScript archives
        state = torch.jit.load(path, map_location='cpu').state_dict()
    return state.get('state_dict', state)


def vision(names: Iterable[str]) -> list[str]:
    """The names that belong to the vision tower."""
    names = list(names)
    for prefix in ('vision_model.', 'visual.'):
        found = [name for name in names if name.startswith(prefix)]
        if found:
            return found
    return names


def renamed(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hugging Face's names, without the prefix; OpenAI's fused in_proj becomes q, k and v."""
    result = {}
    for name, array in state.items():
        name = name.removeprefix('vision_model.')
        if not name.startswith('visual.'):
            result[name] = array
            continue
        name = name.removeprefix('visual.')
        match = re.fullmatch(r'transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)', name)
        if match is None:
            result[OUTSIDE.get(name, name)] = array
        elif match[2] == 'attn.in_proj':
            for part, piece in zip('qkv', np.split(array, 3)):
                result[f'encoder.layers.{match[1]}.self_attn.{part}_proj.{match[3]}'] = piece
        else:
            result[f'encoder.layers.{match[1]}.{NAMES.get(match[2], match[2])}.{match[3]}'] = array
    return result


def settings(path: pathlib.Path) -> dict[str, Any]:
    """The vision tower's settings of the config.json beside the weights, or none."""
    try:
        values = json.loads((path.parent / 'config.json').read_text())
    except OSError:
        return {}
    except ValueError:
        raise UsageError(f'{path.parent / "config.json"} is no JSON: download it again') from None
    values = values.get('vision_config', values)
    for name, known in (('hidden_act', 'quick_gelu'), ('layer_norm_eps', EPSILON)):
        if values.get(name, known) != known:
            raise UsageError(f'{path.parent} has {name}={values[name]!r}; the tower of s4jax is CLIP\'s as published, with '
                             f'{known!r}: choose one of OpenAI\'s models')
    return values


def tower(state: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> tuple[Architecture, Any]:
    """Sizes and variables from a state dict by Hugging Face's names; `settings` may tell the heads, else they are 64 wide."""
    def take(name: str, *shape: int | None) -> np.ndarray:
        if name not in state:
            known = ', '.join(list(state)[:3])
            raise UsageError(f"the weights have no '{name}' (but {known}, …): are they those of a CLIP vision transformer? "
                             f'{advice("")}')
        array = np.asarray(state[name])
        if array.ndim != len(shape) or any(n not in (None, have) for n, have in zip(shape, array.shape)):
            raise UsageError(f"'{name}' has the shape {array.shape}, not {shape}: the weights are no CLIP vision "
                             f'transformer\'s, or damaged; {advice("")}')
        return array.astype(np.float32)

    patches = take('embeddings.patch_embedding.weight', None, None, None, None)
    d, channels, patch, _ = patches.shape
    positions = take('embeddings.position_embedding.weight', None, d)
    layers = 1 + max((int(name.split('.')[2]) for name in state if name.startswith('encoder.layers.')), default=-1)
    hidden = take('encoder.layers.0.mlp.fc1.weight', None, d).shape[0]
    arch = Architecture(image_size=round((len(positions) - 1) ** 0.5) * patch, channels=channels, patch=patch, width=d,
                        layers=layers, heads=settings.get('num_attention_heads') or max(1, d // 64), hidden=hidden)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {'scale': take(f'{name}.weight', d), 'bias': take(f'{name}.bias', d)}

    def linear(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return {'kernel': take(f'{name}.weight', outputs, inputs).T, 'bias': take(f'{name}.bias', outputs)}

    def block(i: int) -> dict[str, Any]:
        name, size = f'encoder.layers.{i}', d // arch.heads
        qkv = [linear(f'{name}.self_attn.{part}_proj', d, d) for part in 'qkv']
        out = linear(f'{name}.self_attn.out_proj', d, d)
        return {'norm1': norm(f'{name}.layer_norm1'), 'norm2': norm(f'{name}.layer_norm2'),
                'qkv': {'kernel': np.stack([part['kernel'].reshape(d, arch.heads, size) for part in qkv], 1),
                        'bias': np.stack([part['bias'].reshape(arch.heads, size) for part in qkv])},
                'out': out | {'kernel': out['kernel'].reshape(arch.heads, size, d)},
                'mlp': {'fc1': linear(f'{name}.mlp.fc1', d, hidden), 'fc2': linear(f'{name}.mlp.fc2', hidden, d)}}

    return arch, {'params': {
        'patch': {'kernel': patches.transpose(2, 3, 1, 0)}, 'class_token': take('embeddings.class_embedding', d),
        'positions': take('embeddings.position_embedding.weight', arch.tokens, d), 'norm_before': norm('pre_layrnorm'),
        'blocks': jax.tree.map(lambda *leaves: np.stack(leaves), *map(block, range(layers))),
        'norm_after': norm('post_layernorm')}}
