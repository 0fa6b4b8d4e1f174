"""Published weights as the start of a supernet, of which every subnet uses the prefix."""

import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.models.weights import autoformer, shunted, swin
from s4jax.models.weights.files import tensors
from s4jax.models.weights.resize import bicubic
from s4jax.models.weights.sizes import SIZES

IMPORTERS = {'vit': autoformer, 'swin': swin, 'shunted': shunted}
ORIGINS = {
    'vit': "AutoFormer's supernets",
    'swin': "Microsoft's or timm's Swin",
    'shunted': 'the published Shunted Transformers',
}


@functools.lru_cache(1)
def read(path: str) -> tuple[dict[str, np.ndarray], str]:
    """The state dict of a safetensors or PyTorch file, and a digest of the file."""
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f'config.supernet.weights={path} is no file')
    arrays = tensors(file, list, 'name another file in config.supernet.weights')
    names = {name.removeprefix('module.'): array for name, array in arrays.items()}
    return names, hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


def published(family: str, path: str, arch: Any) -> tuple[Any, dict[str, Any]]:
    """The architecture and variables of a published model, for the image size of `arch`.

    Of AutoFormer's supernet it is the largest subnet within `arch`. Raises UsageError, which names
    the file, where it is of another kind, or has another value of a size that is not searched.
    """
    if family not in SIZES:
        raise UsageError(
            f"config.supernet.weights={path}: nobody published weights of family='{family}'; "
            'write None'
        )
    arrays, _ = read(path)
    try:
        found = SIZES[family](arrays, arch)
        return found, IMPORTERS[family].variables(_resized(arrays, family, found), found)
    except UsageError as error:
        raise UsageError(
            f'config.supernet.weights={path} does not suit (wanted: {ORIGINS[family]}): {error}'
        ) from None


def starting(family: str, path: str, arch: Any, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The variables `fresh` of `Model(arch)` with all that the published model has of them.

    The head is kept where the number of classes is the same, else it is the fresh one. What the
    published model lacks, in width or in depth, stays fresh.
    """
    found, variables = published(family, path, arch)
    if found.classes != arch.classes:
        variables['params']['head'] = fresh['params']['head']
    return {part: elastic.inherit(variables[part], fresh[part]) for part in variables}


def _resized(arrays: Mapping[str, np.ndarray], family: str, found: Any) -> dict[str, np.ndarray]:
    """The state dict for the image size of the architecture `found`."""
    state = dict(arrays)
    if family in TABLES:
        TABLES[family](state, found)
    return state


def _absolute(state: dict[str, np.ndarray], found: Any) -> None:
    """Resizes AutoFormer's absolute positions.

    Its relative ones are clipped to a distance and need no other table.
    """
    token, *patches = np.split(state['pos_embed'][0], [1])
    state['pos_embed'] = np.concatenate([token, _resized_square(patches[0], found.grid)])[None]


def _relative(state: dict[str, np.ndarray], found: Any) -> None:
    """Resizes Swin's tables of relative positions."""
    for s, (depth, window) in enumerate(zip(found.depths, found.windows)):
        for i in range(depth):
            name = f'layers.{s}.blocks.{i}.attn.relative_position_bias_table'
            state[name] = _resized_square(state[name], 2 * window - 1)


TABLES: dict[str, Callable[[dict[str, np.ndarray], Any], None]] = {
    'vit': _absolute,
    'swin': _relative,
}


def _resized_square(table: np.ndarray, side: int) -> np.ndarray:
    """A table (n², channels) of a square as (side², channels)."""
    n = round(len(table) ** 0.5)
    return table if n == side else bicubic(table.reshape(n, n, -1), side).reshape(side**2, -1)
