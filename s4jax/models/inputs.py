"""What a family's models see: by default the images as they are."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import numpy as np

from s4jax.runtime import mesh as meshes
from s4jax.search.space import Architecture, Dimension
from s4jax.settings import Section

Batch = dict[str, Any]
Counts = Callable[[Batch], int]  # the correct images of a batch
Preprocess = Callable[[jax.Array], jax.Array]  # uint8 (B, H, W, C) -> float (B, S, S, C)


class NoSettings(Section):
    """The section `encoder` of a family without a frozen encoder: it has no keys."""


@dataclasses.dataclass(frozen=True)
class Images:
    """The images as they are.

    A family with a frozen encoder has a subclass of this under the name `Inputs`: the one place
    that knows what the encoder computes, keeps and says of itself.
    """

    preprocess: Preprocess

    Settings: ClassVar[type[Section]] = NoSettings
    GIVEN: ClassVar[tuple[str, ...]] = ()  # sizes of an architecture that the encoder fixes

    @classmethod
    def create(
        cls,
        settings: Any,
        model: Mapping[str, Any],
        preprocess: Preprocess,
        mesh: jax.sharding.Mesh,
        seed: int,
    ) -> 'Images':
        """The inputs of a run: `settings` is the config's section encoder, `model` its model."""
        return cls(preprocess)

    @property
    def variables(self) -> Any:
        """The encoder's weights: an argument of every compiled function, never closed over."""
        return ()

    def in_float32(self) -> Self:
        """The same inputs, computed in float32."""
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The sizes named in GIVEN."""
        return {}

    @property
    def facts(self) -> dict[str, Any] | None:
        """What a reader of the results wants to know of the encoder."""
        return None

    def bounded(self, dimension: Dimension) -> Dimension:
        """The dimension within the limits that the encoder sets."""
        return dimension

    def train(self, arch: Architecture, variables: Any, images: jax.Array) -> Any:
        """The inputs of `Model(arch)` of augmented images (B, S, S, C); no gradient flows back."""
        return images

    def example(self, arch: Architecture) -> Any:
        """Zeros in the shapes of the inputs of `Model(arch)`, for one image."""
        shape = (1, arch.image_size, arch.image_size, arch.channels)
        image = jax.ShapeDtypeStruct(shape, np.float32)
        shapes = jax.eval_shape(lambda v, x: self.train(arch, v, x), self.variables, image)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    def stored(self, batch: Batch) -> Batch:
        """A batch of images on the devices, with what evaluation needs of it beyond the images."""
        return batch

    def evaluate(self, arch: Architecture, batch: Batch) -> Any:
        """The inputs of `Model(arch)` of a stored batch, outside training."""
        return self.preprocess(batch['images'])

    def kept(
        self,
        arch: Architecture,
        batches: Callable[[], Iterable[Batch]],
        directory: pathlib.Path,
        identity: Mapping[str, Any],
        mesh: jax.sharding.Mesh,
        warn: Callable[[str], None],
    ) -> Iterable[Batch]:
        """The stored batches of a split, to be iterated for every chunk of subnets of `arch`.

        `batches()` are this host's; `identity` says which images they are. An encoder's states
        are kept below `directory`.
        """
        return [self.stored(meshes.shard(mesh, batch)) for batch in batches()]

    def references(
        self, batches: Iterable[Batch], class_names: Sequence[str]
    ) -> dict[str, tuple[Counts | None, str]]:
        """What the encoder reaches by itself: name -> (correct images of a batch, description).

        `batches` are stored ones of the training images. None where it cannot be had; then the
        description says why.
        """
        return {}
