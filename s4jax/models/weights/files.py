"""Tensors of safetensors and PyTorch files."""

import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from s4jax.errors import UsageError


def tensors(
    path: pathlib.Path, choose: Callable[[Iterable[str]], list[str]], advice: str
) -> dict[str, np.ndarray]:
    """The tensors of a file whose names `choose` selects, as float32 arrays.

    Raises UsageError, which ends with `advice`, where the file cannot be read.
    """
    try:
        if path.suffix == '.safetensors':
            return _safetensors(path, choose)
        state = _torch(path, advice)
        return {name: state[name].float().numpy() for name in choose(state)}
    except UsageError:
        raise
    # Truncated, of no such format, of a type that NumPy does not know: each reader has its own
    # errors.
    except Exception as error:
        reason = (str(error).splitlines() or [''])[0][:100]
        raise UsageError(
            f'{path} cannot be read ({type(error).__name__}: {reason}): is it whole? {advice}'
        ) from None


def _safetensors(
    path: pathlib.Path, choose: Callable[[Iterable[str]], list[str]]
) -> dict[str, np.ndarray]:
    import safetensors

    with safetensors.safe_open(path, 'numpy') as file:
        names = choose(file.keys())
        return {name: file.get_tensor(name).astype(np.float32) for name in names}


def _torch(path: pathlib.Path, advice: str) -> Mapping[str, Any]:
    """The state dict of a PyTorch file, read without running code of the file where that can be."""
    try:
        import torch
    except ImportError:
        raise UsageError(
            f'{path} is a PyTorch file: pip install torch to read it, or {advice}'
        ) from None
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception:
        # OpenAI's own files are TorchScript archives. Loading one may run code of the file: use
        # only files from a source that you trust.
        state = torch.jit.load(path, map_location='cpu').state_dict()
    return state.get('state_dict', state)
