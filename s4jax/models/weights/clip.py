"""CLIP's published weights: Hugging Face folders and files, OpenAI's and OpenCLIP's names, safetensors or PyTorch files."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from s4jax.errors import UsageError
from s4jax.models.clip.tower import EPSILON, Architecture, TextTower
from s4jax.models.weights.state import State

FILES = (
    'model.safetensors',
    'open_clip_model.safetensors',
    'pytorch_model.bin',
)  # in a folder, the first that is there
WANTED = ('model.safetensors', 'config.json')  # of a repository on the hub
TOKENIZER = 'tokenizer.json'
PROJECTIONS = ('text_projection.weight', 'visual_projection.weight')
PROMPT = 'a photo of a {}.'
NAMES = {  # OpenAI's names of a block -> Hugging Face's
    'ln_1': 'layer_norm1',
    'ln_2': 'layer_norm2',
    'attn.out_proj': 'self_attn.out_proj',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
}
OUTSIDE = {
    'class_embedding': 'embeddings.class_embedding',
    'conv1.weight': 'embeddings.patch_embedding.weight',
    'positional_embedding': 'embeddings.position_embedding.weight',
    'ln_pre.weight': 'pre_layrnorm.weight',
    'ln_pre.bias': 'pre_layrnorm.bias',
    'ln_post.weight': 'post_layernorm.weight',
    'ln_post.bias': 'post_layernorm.bias',
}


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
        raise UsageError(
            f'encoder.weights={weights} holds none of {", ".join(FILES)}: {advice(weights)}'
        )
    if re.fullmatch(r'[\w.-]+/[\w.-]+', weights) is None:
        raise UsageError(
            f'encoder.weights={weights} does not exist: {advice("openai/clip-vit-base-patch16")}'
        )
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError(
            f'encoder.weights={weights} is no folder here, and huggingface_hub, which could fetch it, is not '
            f"installed: pip install 's4jax[hub]', or {advice(weights)}"
        ) from None
    try:
        return find(huggingface_hub.snapshot_download(weights, allow_patterns=[*WANTED, TOKENIZER]))
    except UsageError:
        raise
    except (
        Exception
    ) as error:  # offline, a name that nobody has, no permission: the library has a type for each
        raise UsageError(
            f'encoder.weights={weights} is no folder here and could not be fetched from the hub '
            f'({type(error).__name__}): {advice(weights)}'
        ) from None


def advice(weights: str) -> str:
    name = weights if re.fullmatch(r'[\w.-]+/[\w.-]+', weights) else 'openai/clip-vit-base-patch16'
    return (
        f'download {" and ".join(WANTED)} of https://huggingface.co/{name} into a folder and name it, '
        '--config.encoder.weights=FOLDER'
    )


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The vision tower's part of a file, or all of a file that holds nothing else, by Hugging Face's names."""
    return renamed(tensors(path, vision))


def tensors(
    path: pathlib.Path, choose: Callable[[Iterable[str]], list[str]]
) -> dict[str, np.ndarray]:
    """The tensors of a file whose names are chosen."""
    try:
        if path.suffix == '.safetensors':
            import safetensors

            with safetensors.safe_open(path, 'numpy') as file:
                return {name: file.get_tensor(name) for name in choose(file.keys())}
        state = _read_torch(path)
        return {name: state[name].float().numpy() for name in choose(state)}
    except UsageError:
        raise
    except Exception as error:  # truncated, no such format, a type that NumPy does not know: each reader has its own errors
        raise UsageError(
            f'{path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0][:100]}): is it whole? '
            f'{advice(path.parent.name)}'
        ) from None


def _read_torch(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError:
        raise UsageError(
            f'{path} is a PyTorch file: pip install torch to read it, or {advice("")}'
        ) from None
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception:  # OpenAI's own files are TorchScript archives
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


def settings(path: pathlib.Path, part: str = 'vision_config') -> dict[str, Any]:
    """A tower's settings of the config.json beside the weights, or none."""
    try:
        values = json.loads((path.parent / 'config.json').read_text())
    except OSError:
        return {}
    except ValueError:
        raise UsageError(f'{path.parent / "config.json"} is no JSON: download it again') from None
    values = values.get(part, values)
    for name, known in (('hidden_act', 'quick_gelu'), ('layer_norm_eps', EPSILON)):
        if values.get(name, known) != known:
            raise UsageError(
                f"{path.parent} has {name}={values[name]!r}; the towers of s4jax are CLIP's as published, with "
                f"{known!r}: choose one of OpenAI's models"
            )
    return values


@dataclasses.dataclass(frozen=True)
class Weights(State):
    """A state dict under Hugging Face's names, read in float32."""

    origin: str = 'CLIP'

    def take(self, name: str, *shape: int | None) -> np.ndarray:
        """A tensor; None in `shape` stands for any size."""
        if name not in self.arrays:
            known = ', '.join(list(self.arrays)[:3])
            raise UsageError(
                f"the weights have no '{name}' (but {known}, …): are they those of a CLIP vision transformer? "
                f'{advice("")}'
            )
        array = np.asarray(self.arrays[name])
        if array.ndim != len(shape) or any(
            n not in (None, have) for n, have in zip(shape, array.shape)
        ):
            raise UsageError(
                f"'{name}' has the shape {array.shape}, not {shape}: the weights are no CLIP vision "
                f"transformer's, or damaged; {advice('')}"
            )
        return array.astype(np.float32)


def tower(state: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> tuple[Architecture, Any]:
    """Sizes and variables from a state dict by Hugging Face's names; `settings` may tell the heads, else they are 64 wide."""
    read = Weights(state)
    patches = read.take('embeddings.patch_embedding.weight', None, None, None, None)
    d, channels, patch, _ = patches.shape
    positions = read.take('embeddings.position_embedding.weight', None, d)
    hidden = read.take('encoder.layers.0.mlp.fc1.weight', None, d).shape[0]
    arch = Architecture(
        image_size=round((len(positions) - 1) ** 0.5) * patch,
        channels=channels,
        patch=patch,
        width=d,
        layers=depth(state),
        heads=settings.get('num_attention_heads') or max(1, d // 64),
        hidden=hidden,
    )
    return arch, {
        'params': {
            'patch': {'kernel': patches.transpose(2, 3, 1, 0)},
            'class_token': read.take('embeddings.class_embedding', d),
            'positions': read.take('embeddings.position_embedding.weight', arch.tokens, d),
            'norm_before': read.norm('pre_layrnorm', d),
            'blocks': blocks(read, d, arch.heads, hidden),
            'norm_after': read.norm('post_layernorm', d),
        }
    }


def depth(state: Iterable[str]) -> int:
    """The number of layers that a state dict names."""
    return 1 + max(
        (int(name.split('.')[2]) for name in state if name.startswith('encoder.layers.')),
        default=-1,
    )


def blocks(read: Weights, d: int, heads: int, hidden: int) -> Any:
    """The blocks' parameters, stacked."""
    size = d // heads

    def block(i: int) -> dict[str, Any]:
        name = f'encoder.layers.{i}'
        qkv = [read.linear(f'{name}.self_attn.{part}_proj', d, (heads, size)) for part in 'qkv']
        return {
            'norm1': read.norm(f'{name}.layer_norm1', d),
            'norm2': read.norm(f'{name}.layer_norm2', d),
            'qkv': {
                'kernel': np.stack([part['kernel'] for part in qkv], 1),
                'bias': np.stack([part['bias'] for part in qkv]),
            },
            'out': read.linear(f'{name}.self_attn.out_proj', (heads, size), d),
            'mlp': {
                'fc1': read.linear(f'{name}.mlp.fc1', d, hidden),
                'fc2': read.linear(f'{name}.mlp.fc2', hidden, d),
            },
        }

    return jax.tree.map(lambda *leaves: np.stack(leaves), *map(block, range(depth(read.arrays))))


def class_weights(weights: str, names: Sequence[str]) -> tuple[np.ndarray | None, str]:
    """(matrix (width, classes), what it is): the pooled state of an image times it is highest for the class whose name fits best.

    From the text tower of a whole CLIP model by Hugging Face's names, and its tokenizer.json; None and why where one is missing.
    """
    path = find(weights)
    state = tensors(
        path, lambda keys: [k for k in keys if k.startswith('text_model.') or k in PROJECTIONS]
    )
    if not set(PROJECTIONS) <= set(state):
        return None, f"{path} holds no text tower by Hugging Face's names"
    if not (path.parent / TOKENIZER).is_file():
        return None, f'{path.parent} has no {TOKENIZER}'
    try:
        import tokenizers
    except ImportError:
        return None, "tokenizers is not installed: pip install 's4jax[hub]'"
    state = {name.removeprefix('text_model.'): array for name, array in state.items()}
    read, known = Weights(state), settings(path, 'text_config')
    embedding = read.take('embeddings.token_embedding.weight', None, None)
    vocabulary, d = embedding.shape
    positions = read.take('embeddings.position_embedding.weight', None, d)
    hidden = read.take('encoder.layers.0.mlp.fc1.weight', None, d).shape[0]
    heads = known.get('num_attention_heads') or max(1, d // 64)
    text = TextTower(vocabulary, len(positions), d, depth(state), heads, hidden)
    variables = {
        'params': {
            'embedding': embedding,
            'positions': positions,
            'blocks': blocks(read, d, heads, hidden),
            'norm_after': read.norm('final_layer_norm', d),
        }
    }
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path.parent / TOKENIZER))
    except Exception:  # the library has no type of its own for it
        return None, f'{path.parent / TOKENIZER} cannot be read'
    tokenizer.no_padding()
    tokenizer.enable_truncation(len(positions))
    ids = [tokenizer.encode(PROMPT.format(name.replace('_', ' '))).ids for name in names]
    tokens = np.array(
        [row + [0] * (len(positions) - len(row)) for row in ids], np.int32
    )  # what follows a text is not seen
    states = jax.jit(text.apply)(variables, tokens, np.array([len(row) - 1 for row in ids]))
    texts = np.asarray(states) @ read.take('text_projection.weight', None, d).T
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    return read.take(
        'visual_projection.weight', texts.shape[1], None
    ).T @ texts.T, f'the names of the classes in "{PROMPT}"'
