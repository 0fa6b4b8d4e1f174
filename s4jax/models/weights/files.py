"""Tensors of safetensors and PyTorch files."""

import pathlib
import pickle  # for the type of an error alone
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from s4jax.errors import UsageError

CONVERT = (
    'convert it where that does no harm, by python -c "import torch, safetensors.torch as s; '
    "s.save_file({k: v.contiguous() for k, v in torch.jit.load('FILE', 'cpu').state_dict().items()}"
    ", 'model.safetensors')\""
)


def tensors(
    path: pathlib.Path,
    choose: Callable[[Iterable[str]], list[str]],
    advice: str,
    trust: bool = False,
) -> dict[str, np.ndarray]:
    """The tensors of a file whose names `choose` selects, as float32 arrays.

    `trust` lets PyTorch load a TorchScript archive, which may run code of its own. Raises
    UsageError, which ends with `advice`, where the file cannot be read.
    """
    try:
        if path.suffix == '.safetensors':
            return _safetensors(path, choose)
        state = _torch(path, advice, trust)
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


def _torch(path: pathlib.Path, advice: str, trust: bool) -> Mapping[str, Any]:
    """The state dict of a PyTorch file; no code of the file is run unless it is trusted."""
    try:
        import torch
    except ImportError:
        raise UsageError(
            f'{path} is a PyTorch file: pip install torch to read it, or {advice}'
        ) from None
    if is_torchscript(path):  # as OpenAI's own files are
        if not trust:
            raise UsageError(
                f'{path} is a TorchScript archive, which may run code of its own when it is '
                f'loaded: {CONVERT}, or, if you trust its source, --config.encoder.trust=true'
            )
        return torch.jit.load(path, map_location='cpu').state_dict()
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        raise UsageError(
            f'{path} holds more than tensors, or is damaged; reading it could run code of its own: '
            f'{advice}'
        ) from None
    return state.get('state_dict', state.get('model', state))  # AutoFormer's, Microsoft's files


def is_torchscript(path: pathlib.Path) -> bool:
    """Whether a file is a zip with a program in it, as torch.jit.save writes."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(
            name.endswith('/constants.pkl') or '/code/' in name for name in archive.namelist()
        )
