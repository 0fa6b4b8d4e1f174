"""Reading PyTorch state dicts: every array checked for its shape and turned to our layout."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from s4jax.errors import UsageError


@dataclasses.dataclass(frozen=True)
class State:
    """A state dict of arrays or CPU tensors. With `prefix`, larger arrays are cut to the shape asked for (a supernet's)."""

    arrays: Mapping[str, Any]
    origin: str
    prefix: bool = False

    def take(self, name: str, *shape: int) -> np.ndarray:
        """The array of that name and shape; raises UsageError where the state dict has none or another shape."""
        if name not in self.arrays:
            raise UsageError(f"the state dict has no '{name}': is it {self.origin}?")
        array = np.asarray(self.arrays[name])
        if array.shape != shape and not (
            self.prefix
            and array.ndim == len(shape)
            and all(n <= have for n, have in zip(shape, array.shape))
        ):
            raise UsageError(
                f"'{name}' has the shape {array.shape}, the architecture needs {shape}"
            )
        return array[tuple(slice(n) for n in shape)]

    def norm(self, name: str, *features: int) -> dict[str, np.ndarray]:
        flat = math.prod(features)
        return {
            'scale': self.take(f'{name}.weight', flat).reshape(features),
            'bias': self.take(f'{name}.bias', flat).reshape(features),
        }

    def linear(
        self, name: str, inputs: int | tuple, outputs: int | tuple, bias: bool = True
    ) -> dict[str, np.ndarray]:
        """A dense layer; `inputs` and `outputs` may be tuples of the axes that the published one has fused."""
        inputs, outputs = (n if isinstance(n, tuple) else (n,) for n in (inputs, outputs))
        kernel = self.take(f'{name}.weight', math.prod(outputs), math.prod(inputs)).T.reshape(
            inputs + outputs
        )
        return {'kernel': kernel} | (
            {'bias': self.take(f'{name}.bias', math.prod(outputs)).reshape(outputs)} if bias else {}
        )

    def conv(
        self, name: str, size: int, inputs: int, outputs: int | tuple, bias: bool = True
    ) -> dict[str, np.ndarray]:
        """A convolution, as (size, size, inputs, *outputs); one input channel of a depthwise one is left out."""
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        flat = math.prod(outputs)
        kernel = self.take(f'{name}.weight', flat, inputs, size, size).transpose(2, 3, 1, 0)
        return {'kernel': kernel.reshape(size, size, inputs, *outputs)} | (
            {'bias': self.take(f'{name}.bias', flat).reshape(outputs)} if bias else {}
        )

    def depthwise(self, name: str, *channels: int) -> dict[str, np.ndarray]:
        found = self.conv(name, 3, 1, channels)
        return found | {'kernel': found['kernel'][:, :, 0]}
