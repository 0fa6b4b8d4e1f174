"""The function that an export holds: images to logits, the weights inside, all in float32."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import ml_dtypes
import numpy as np

from s4jax import elastic
from s4jax.data import augment
from s4jax.data.augment import PreprocessSettings
from s4jax.predictor import Predictor

Where = Literal['inside', 'beside']  # of the program
Runner = Callable[[np.ndarray], np.ndarray]  # a program's inputs (n, …) -> float32 (n, classes)
BATCH = 'batch'  # the name of the free axis


class Written(NamedTuple):
    """A file of an export, and how it runs: `run_by` is the name for the table."""

    run_by: str
    path: pathlib.Path
    run: Runner

    @property
    def bytes(self) -> int:
        """On disk, with the weights that a large program has in a file beside it."""
        beside = self.path.parent.glob(f'{self.path.name}*')
        return sum(path.stat().st_size for path in beside)


@dataclasses.dataclass(frozen=True)
class Program:
    """A pure function of images and what it takes.

    With `preprocess='inside'` the images are uint8 (batch, *predictor.shape), as the run stored
    them; 'beside': float32 (batch, size, size, channels), resized, cropped and normalised.
    `variables` and `encoder` are arrays of NumPy.
    """

    predictor: Predictor
    settings: PreprocessSettings
    preprocess: Where
    variables: Any
    encoder: Any

    @classmethod
    def create(
        cls, predictor: Predictor, settings: PreprocessSettings, preprocess: Where
    ) -> 'Program':
        """The program of a model. What was trained in bfloat16 computes in float32 here, too."""
        model = predictor.family.Model(predictor.arch)
        inputs = predictor.inputs.in_float32()
        variables, encoder = jax.device_get((predictor.variables, inputs.variables))
        predictor = dataclasses.replace(predictor, model=model, inputs=inputs)
        return cls(predictor, settings, preprocess, variables, encoder)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an input image."""
        if self.preprocess == 'inside':
            return self.predictor.shape
        size = self.predictor.arch.image_size
        return size, size, self.predictor.arch.channels

    @property
    def dtype(self) -> Any:
        """The type of an input image."""
        return np.dtype(np.uint8 if self.preprocess == 'inside' else np.float32)

    def rounded(self) -> 'Program':
        """The same with bfloat16 weights, which the program widens before it computes."""
        narrow = lambda leaf: np.asarray(leaf, ml_dtypes.bfloat16)
        variables, encoder = jax.tree.map(narrow, (self.variables, self.encoder))
        return dataclasses.replace(self, variables=variables, encoder=encoder)

    def symbolic(self) -> jax.ShapeDtypeStruct:
        """The input with a batch of any size."""
        text = f'{BATCH}, {", ".join(map(str, self.shape))}'
        return jax.ShapeDtypeStruct(jax.export.symbolic_shape(text), self.dtype)

    def function(self) -> Callable[[jax.Array], jax.Array]:
        """Input images -> logits (batch, classes), for jit and for conversion."""
        p, resize = self.predictor, self._resize()

        def logits(images: jax.Array) -> jax.Array:
            pixels = resize(images) if self.preprocess == 'inside' else images
            variables, encoder = jax.tree.map(_wide, (self.variables, self.encoder))
            inputs = p.inputs.train(p.arch, encoder, pixels)
            return p.model.apply(variables, inputs, elastic.fixed(p.family.sizes_of(p.arch)))

        return logits

    def prepared(self, stored: np.ndarray) -> np.ndarray:
        """The program's inputs of stored images uint8 (n, *predictor.shape)."""
        if self.preprocess == 'inside':
            return stored
        return np.asarray(jax.jit(self._resize())(stored))

    def runner(self) -> Runner:
        """The function in JAX."""
        return on_cpu(jax.jit(self.function()))

    def _resize(self) -> Callable[[Any], jax.Array]:
        """Stored images to pixels, with the weights of the resize as constants."""
        height, width, _ = self.predictor.shape
        size, settings = self.predictor.arch.image_size, self.settings
        weights = jax.device_get(augment.eval_weights(height, width, size, settings))
        return lambda images: augment.resized(images, weights, settings)


def _wide(leaf: Any) -> Any:
    """A bfloat16 weight in float32, within the program; others as they are."""
    if leaf.dtype == ml_dtypes.bfloat16:
        return jax.numpy.asarray(leaf).astype(np.float32)
    return leaf


def on_cpu(function: Callable[[Any], Any]) -> Runner:
    """A JAX function of arrays that runs on the CPU, where the other formats' programs run."""

    def run(images: np.ndarray) -> np.ndarray:
        with _cpu():
            return np.asarray(function(images), np.float32)

    return run


@contextlib.contextmanager
def _cpu() -> Iterator[None]:
    try:
        device = jax.local_devices(backend='cpu')[0]
    except RuntimeError:  # JAX_PLATFORMS leaves out the CPU
        yield
        return
    with jax.default_device(device):
        yield
