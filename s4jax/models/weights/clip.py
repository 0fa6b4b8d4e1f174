"""CLIP's published weights: the vision tower, and class names as weights of a classifier.

Hugging Face's folders and files, OpenAI's and OpenCLIP's names, safetensors or PyTorch files.
"""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from s4jax.models.clip.tower import Architecture
from s4jax.models.weights import clip_names
from s4jax.models.weights.clip_files import TOKENIZER, advice, find, settings
from s4jax.models.weights.files import tensors

PROJECTIONS = ('text_projection.weight', 'visual_projection.weight')
PROMPT = 'a photo of a {}.'


def load(weights: str, trust: bool = False) -> tuple[Architecture, Any]:
    """The sizes and variables of the vision tower, from a folder, a file or a name on the hub.

    `trust` as in `files.tensors`.
    """
    path = find(weights)
    state = tensors(path, clip_names.vision_names, advice(path.parent.name), trust)
    return clip_names.vision_tower(clip_names.renamed(state), settings(path, 'vision_config'))


def class_weights(
    weights: str, names: Sequence[str], trust: bool = False
) -> tuple[np.ndarray | None, str]:
    """A matrix (width, classes) that classifies pooled states by the names of the classes.

    The product with an image's pooled state is highest for the class whose name fits best. Returns
    the matrix and what it is, or None and why there is none. It needs a whole CLIP model by Hugging
    Face's names, and its tokenizer.json.
    """
    path = find(weights)
    state = tensors(path, _text_names, advice(path.parent.name), trust)
    if not set(PROJECTIONS) <= set(state):
        return None, f"{path} holds no text tower by Hugging Face's names"
    state = {name.removeprefix('text_model.'): array for name, array in state.items()}
    if not (path.parent / TOKENIZER).is_file():
        return None, f'{path.parent} has no {TOKENIZER}'
    text, variables = clip_names.text_tower(state, settings(path, 'text_config'))
    tokens, reason = _tokens(path.parent / TOKENIZER, names, text.length)
    if tokens is None:
        return None, reason
    ids = np.array([row + [0] * (text.length - len(row)) for row in tokens], np.int32)
    ends = np.array([len(row) - 1 for row in tokens])  # what follows a text's end is not seen
    texts = np.asarray(jax.jit(text.apply)(variables, ids, ends))
    texts = texts @ clip_names.projection(state, 'text', None, text.width).T
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    visual = clip_names.projection(state, 'visual', texts.shape[1], None)
    return visual.T @ texts.T, f'the names of the classes in "{PROMPT}"'


def _text_names(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith('text_model.') or name in PROJECTIONS]


def _tokens(
    file: pathlib.Path, names: Sequence[str], length: int
) -> tuple[list[list[int]] | None, str]:
    """The tokens of a text for each class name, `length` at most; or None and why."""
    try:
        import tokenizers
    except ImportError:
        return None, "tokenizers is not installed: pip install 's4jax[hub]'"
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception:  # the library has no type of its own for it
        return None, f'{file} cannot be read'
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    texts = (PROMPT.format(name.replace('_', ' ')) for name in names)
    return [tokenizer.encode(text).ids for text in texts], ''
