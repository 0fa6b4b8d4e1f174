"""Libraries that only exports need: one line says how to install what is missing."""

import importlib
from types import ModuleType

from s4jax.errors import UsageError

# jax2onnx asks for an Orbax older than s4jax's and does not use it: hence --no-deps
COMMANDS = {
    'onnx': "pip install 's4jax[export]'",
    'onnxruntime': "pip install 's4jax[export]'",
    'jax2onnx': "pip install 's4jax[export]' && pip install --no-deps 'jax2onnx>=0.17.1,<0.18'",
}


def need(name: str) -> ModuleType:
    """The module of that name; UsageError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f'{name} is not installed; run {COMMANDS[name]}') from None
