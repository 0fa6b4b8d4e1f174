"""A family's weights by the names of the published PyTorch modules."""

from collections.abc import Callable
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.models.weights import autoformer, shunted, swin

StateDict = dict[str, np.ndarray]


def _autoformer(tree: Any, arch: Any) -> dict[str, StateDict]:
    return {'autoformer': autoformer.state_dict(tree, arch)}


def _swin(tree: Any, arch: Any) -> dict[str, StateDict]:
    state = swin.state_dict(tree, arch)
    return {'microsoft': state, 'timm': swin.timm_names(state)}


def _shunted(tree: Any, arch: Any) -> dict[str, StateDict]:
    return {'shunted': shunted.state_dict(tree, arch)}


EXPORTERS: dict[str, Callable[[Any, Any], dict[str, StateDict]]] = {
    'vit': _autoformer,
    'swin': _swin,
    'shunted': _shunted,
}
IMPORTERS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    'autoformer': autoformer.variables,
    'microsoft': swin.variables,
    'timm': swin.variables,
    'shunted': shunted.variables,
}


def state_dicts(family: str, tree: Any, arch: Any) -> dict[str, StateDict]:
    """{publisher: state dict} of the variables `tree` of `Model(arch)`."""
    check(family)
    return EXPORTERS[family](tree, arch)


def check(family: str) -> None:
    """Raises where nobody published a PyTorch module of the family."""
    if family not in EXPORTERS:
        raise UsageError(
            f"--format=pytorch: no PyTorch module of family='{family}' was published; write "
            '--format=safetensors, or onnx for a program'
        )
