"""PyTorch state dicts: every array is checked for its shape and turned to our layout, or back."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from s4jax.errors import UsageError

Axes = int | tuple[int, ...]  # a tuple where we have several axes for one that is published


class Numbers(dict[str, np.ndarray]):
    """A state dict that has every array that is asked for; each entry is a number of its own."""

    count = 0

    def make(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """The array of that name and shape, filled with the next numbers."""
        sizes = [n for n in shape if n is not None]  # the families that are exported know them all
        self[name] = self.count + np.arange(math.prod(sizes)).reshape(sizes)
        self.count += self[name].size
        return self[name]


def exported(
    variables: Any, arch: Any, importer: Callable[[Mapping[str, Any], Any], Any]
) -> dict[str, np.ndarray]:
    """The state dict that `importer(state dict, arch)` turns into `variables`.

    An importer only moves entries, so its inverse is found by importing the entries' numbers: they
    tell where every entry of `variables` comes from. Every family has its exporter for free.
    """
    numbers = Numbers()
    tree = importer(numbers, arch)
    flat = np.zeros(numbers.count, np.float32)

    def put(where: np.ndarray, leaf: Any) -> None:
        flat[where] = np.asarray(leaf)

    jax.tree.map(put, tree, variables)
    return {name: flat[where] for name, where in numbers.items()}


@dataclasses.dataclass(frozen=True)
class State:
    """A state dict of arrays or CPU tensors.

    `origin` says whose it should be, `advice` what to do where it is not. With `prefix` it may be a
    supernet's: larger arrays are cut to the shape that is asked for.
    """

    arrays: Mapping[str, Any]
    origin: str
    prefix: bool = False
    advice: str = ''

    def take(self, name: str, *shape: int | None) -> np.ndarray:
        """The array of that name and shape, in which None stands for any size.

        Raises UsageError where the state dict has none, or one of another shape.
        """
        if isinstance(self.arrays, Numbers):
            return self.arrays.make(name, shape)
        if name not in self.arrays:
            first = ', '.join(list(self.arrays)[:3]) or 'nothing'
            raise UsageError(
                f"the state dict has no '{name}' (it has {first}, …): is it {self.origin}?"
                f'{self._advice}'
            )
        array = np.asarray(self.arrays[name])
        wanted = tuple(
            have if n is None or self.prefix and n < have else n
            for n, have in zip(shape, array.shape)
        )
        if len(shape) != array.ndim or array.shape != wanted:
            needed = ', '.join('any' if n is None else str(n) for n in shape)
            raise UsageError(
                f"'{name}' has the shape {array.shape}, the architecture needs ({needed}): is it "
                f'{self.origin}?{self._advice}'
            )
        return array[tuple(slice(n) for n in shape)]

    @property
    def _advice(self) -> str:
        return f' {self.advice}' if self.advice else ''

    def norm(self, name: str, *features: int) -> dict[str, np.ndarray]:
        """Scale and bias of a norm, each (*features)."""
        flat = math.prod(features)
        return {
            'scale': self.take(f'{name}.weight', flat).reshape(features),
            'bias': self.take(f'{name}.bias', flat).reshape(features),
        }

    def linear(
        self, name: str, inputs: Axes, outputs: Axes, bias: bool = True
    ) -> dict[str, np.ndarray]:
        """A dense layer: kernel (*inputs, *outputs) and, with `bias`, bias (*outputs)."""
        ins, outs = _axes(inputs), _axes(outputs)
        weight = self.take(f'{name}.weight', math.prod(outs), math.prod(ins))
        return {'kernel': weight.T.reshape(ins + outs)} | self._bias(name, outs, bias)

    def conv(
        self, name: str, size: int, inputs: int, outputs: Axes, bias: bool = True
    ) -> dict[str, np.ndarray]:
        """A convolution: kernel (size, size, inputs, *outputs), bias (*outputs) with `bias`."""
        outs = _axes(outputs)
        weight = self.take(f'{name}.weight', math.prod(outs), inputs, size, size)
        kernel = weight.transpose(2, 3, 1, 0).reshape(size, size, inputs, *outs)
        return {'kernel': kernel} | self._bias(name, outs, bias)

    def depthwise(self, name: str, *channels: int) -> dict[str, np.ndarray]:
        """A 3×3 convolution of each channel by itself: kernel (3, 3, *channels) and bias."""
        found = self.conv(name, 3, 1, channels)
        return found | {'kernel': found['kernel'][:, :, 0]}

    def _bias(self, name: str, outputs: tuple[int, ...], there: bool) -> dict[str, np.ndarray]:
        if not there:
            return {}
        return {'bias': self.take(f'{name}.bias', math.prod(outputs)).reshape(outputs)}


def _axes(axes: Axes) -> tuple[int, ...]:
    return axes if isinstance(axes, tuple) else (axes,)
