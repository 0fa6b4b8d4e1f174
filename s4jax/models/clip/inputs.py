"""What a family's models see: the images, or the states of a frozen encoder, which trains with nothing and is saved nowhere."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s4jax.errors import UsageError
from s4jax.models.clip import tower as clip
from s4jax.models.weights import clip as importer
from s4jax.runtime import mesh as meshes
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import tree_digest
from s4jax.search.space import Dimension

RANDOM = 'random'
DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A frozen tower, or none: then `encode` gives the images as they are.

    `variables` are replicated over the devices, and arguments of every compiled function. `facts` are what a reader wants to
    know; `given` is what a model's architecture takes from the tower; `weights` is where it came from.
    """

    tower: clip.Tower | None = None
    variables: Any = ()
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    given: dict[str, int] = dataclasses.field(default_factory=dict)
    weights: str = RANDOM

    def class_weights(self, names: Sequence[str]) -> tuple[np.ndarray | None, str]:
        """The matrix (width, classes) that classifies pooled states by the names of the classes; or None and why."""
        if self.weights == RANDOM:
            return None, 'the encoder was never trained'
        try:
            return importer.class_weights(self.weights, names)
        except UsageError as error:  # found in the last stage, and no reason to lose a run
            return None, str(error)

    def encode(self, variables: Any, images: jax.Array, arch: Any) -> Any:
        """images (batch, size, size, channels) -> the inputs of `Model(arch)`, which reads as many layers as it has blocks; no gradient."""
        if self.tower is None:
            return images
        return jax.lax.stop_gradient(self.tower.apply(variables, images, arch.depth)[0])

    def bounded(self, dimension: Dimension) -> Dimension:
        """A decoder has no more blocks than the tower has layers."""
        if self.tower is None or dimension.name != 'depth':
            return dimension
        ceiling = min(dimension.ceiling or np.inf, self.tower.arch.layers)
        return dataclasses.replace(dimension, ceiling=ceiling)


def create(
    mesh: jax.sharding.Mesh,
    seed: int,
    image_size: int,
    channels: int,
    *,
    weights: str,
    variant: str = 'ViT-B/16',
    dtype: str = 'float32',
    cache: str = '',
) -> Encoder:
    """The tower of a config's section `encoder`.

    weights: a folder, a file, a name on the hub, or 'random'; variant: its sizes, a key of `clip.VARIANTS`; dtype: what it is
    kept and computes in; cache: where the states of the search split are kept (default: in the workdir).
    """
    expected, source = clip.VARIANTS[variant], f'weights of {weights}'
    if weights == RANDOM:
        arch, variables = expected, clip.random(expected, seeds.generator(seed, 'encoder'))
        source = 'RANDOM WEIGHTS, never trained'
    else:
        arch, variables = importer.load(weights)
    if arch != expected:
        near = [name for name, known in clip.VARIANTS.items() if known == arch]
        raise UsageError(
            f'encoder.weights={weights} has {described(arch)}, but encoder.variant={variant} has '
            f'{described(expected)}: '
            + (
                f'set --config.encoder.variant={near[0]}'
                if near
                else f'known variants: {", ".join(clip.VARIANTS)}'
            )
        )
    if (image_size, channels) != (arch.image_size, arch.channels):
        raise UsageError(
            f'config.model has image_size={image_size} and channels={channels}, but encoder.variant={variant} '
            f'was made for image_size={arch.image_size} and channels={arch.channels}: set these'
        )
    digest = tree_digest(variables)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, jnp.dtype(dtype)), variables)
    facts = {
        'name': f'CLIP {variant}',
        'source': source,
        'random': weights == RANDOM,
        'dtype': dtype,
        'digest': digest,
        'params': clip.params(arch),
        'macs': clip.macs(arch),
    }
    return Encoder(
        clip.Tower(arch, jnp.dtype(dtype)),
        meshes.replicate(mesh, variables),
        facts,
        {name: getattr(arch, name) for name in clip.GIVEN},
        weights,
    )


def described(arch: clip.Architecture) -> str:
    return ', '.join(f'{name}={value}' for name, value in dataclasses.asdict(arch).items())
