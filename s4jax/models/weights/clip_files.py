"""Where CLIP's published weights lie: a file, a folder, or a repository on the hub."""

import json
import pathlib
import re
from typing import Any

from s4jax.errors import UsageError
from s4jax.models.clip.tower import EPSILON

# In a folder, the first that is there.
FILES = ('model.safetensors', 'open_clip_model.safetensors', 'pytorch_model.bin')
WANTED = ('model.safetensors', 'config.json')  # of a repository on the hub
TOKENIZER = 'tokenizer.json'
REPOSITORY = re.compile(r'[\w.-]+/[\w.-]+')
USUAL = 'openai/clip-vit-base-patch16'


def find(weights: str) -> pathlib.Path:
    """The file of the weights that `config.encoder.weights` names.

    It is downloaded where that is the name of a repository on the hub and no folder here.
    """
    path = pathlib.Path(weights).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        there = [path / name for name in FILES if (path / name).is_file()]
        if there:
            return there[0]
        raise UsageError(
            f'encoder.weights={weights} holds none of {", ".join(FILES)}: {advice(weights)}'
        )
    if REPOSITORY.fullmatch(weights) is None:
        raise UsageError(f'encoder.weights={weights} does not exist: {advice(USUAL)}')
    return find(_downloaded(weights))


def _downloaded(repository: str) -> str:
    """The folder of a repository on the hub, downloaded or from the hub's cache."""
    absent = f'encoder.weights={repository} is no folder here'
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError(
            f'{absent}, and huggingface_hub, which could download it, is not installed: '
            f"pip install 's4jax[hub]', or {advice(repository)}"
        ) from None
    try:
        return huggingface_hub.snapshot_download(repository, allow_patterns=[*WANTED, TOKENIZER])
    # Offline, a name that nobody has, no permission: the library has a type for each.
    except Exception as error:
        raise UsageError(
            f'{absent} and could not be downloaded from the hub ({type(error).__name__}): '
            f'{advice(repository)}'
        ) from None


def advice(weights: str = USUAL) -> str:
    """What to do where weights are missing or unreadable."""
    name = weights if REPOSITORY.fullmatch(weights) else USUAL
    return (
        f'download {" and ".join(WANTED)} of https://huggingface.co/{name} into a folder and name '
        'it, --config.encoder.weights=FOLDER'
    )


def settings(path: pathlib.Path, part: str) -> dict[str, Any]:
    """A tower's part of the config.json beside the weights `path`; empty where there is none.

    Raises UsageError where it asks for another activation or norm than CLIP's.
    """
    file = path.parent / 'config.json'
    try:
        values = json.loads(file.read_text())
    except OSError:
        return {}
    except ValueError:
        raise UsageError(f'{file} is no JSON: download it again') from None
    values = values.get(part, values) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise UsageError(f'{file} holds no settings by name: download it again')
    for name, known in (('hidden_act', 'quick_gelu'), ('layer_norm_eps', EPSILON)):
        if values.get(name, known) != known:
            raise UsageError(
                f"{path.parent} has {name}={values[name]!r}; the towers of s4jax are CLIP's as "
                f"published, with {known!r}: choose one of OpenAI's models"
            )
    return values
