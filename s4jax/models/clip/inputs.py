"""The decoder's inputs: the states of a frozen CLIP tower, which is trained and saved nowhere."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from s4jax.errors import UsageError
from s4jax.models.clip.features import Features
from s4jax.models.clip.references import linear_probe, zero_shot
from s4jax.models.clip.tower import GIVEN, VARIANTS, Architecture, Tower, macs, params, random
from s4jax.models.inputs import Batch, Counts, Images, Preprocess
from s4jax.models.weights import clip as importer
from s4jax.runtime import mesh as meshes
from s4jax.runtime import seeds
from s4jax.runtime.checkpoints import tree_digest
from s4jax.search.space import Dimension
from s4jax.settings import Bool, Section, described

RANDOM = 'random'


class EncoderSettings(Section):
    """The frozen CLIP tower whose states the decoder reads."""

    weights: str = Field(
        min_length=1,
        description="a folder, a file, a name on the hub, or 'random' for a tower never trained",
        examples=['openai/clip-vit-base-patch16'],
    )
    trust: Bool = Field(
        False,
        description='whether to load a TorchScript archive, which may run code of its own; files '
        'of other kinds are read without running any',
    )
    variant: Literal['ViT-B/16', 'ViT-B/32', 'ViT-L/14', 'ViT-L/14@336px', 'tiny'] = Field(
        'ViT-B/16', description='the sizes of the tower'
    )
    dtype: Literal['float32', 'bfloat16'] = Field(
        'float32', description='what the tower is kept and computes in'
    )
    cache: str = Field(
        '', description='folder of the states of the search split; empty: in the workdir'
    )


@dataclasses.dataclass(frozen=True)
class States(Images):
    """The first tokens of a frozen tower and the outputs of its last layers."""

    settings: EncoderSettings
    tower: Tower
    weights: Any  # the tower's variables, replicated over the devices
    digest: str

    Settings: ClassVar[type[Section]] = EncoderSettings
    GIVEN: ClassVar[tuple[str, ...]] = GIVEN

    @classmethod
    def create(
        cls,
        settings: EncoderSettings,
        model: Mapping[str, Any],
        preprocess: Preprocess,
        mesh: jax.sharding.Mesh,
        seed: int,
    ) -> 'States':
        expected = VARIANTS[settings.variant]
        if settings.weights == RANDOM:
            arch, variables = expected, random(expected, seeds.generator(seed, 'encoder'))
        else:
            arch, variables = importer.load(settings.weights, settings.trust)
        _check(settings, arch, expected, model)
        dtype = jnp.dtype(settings.dtype)
        digest = tree_digest(variables)
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), variables)
        return cls(
            preprocess, settings, Tower(arch, dtype), meshes.replicate(mesh, variables), digest
        )

    @property
    def variables(self) -> Any:
        return self.weights

    def in_float32(self) -> Self:
        return dataclasses.replace(self, tower=Tower(self.tower.arch))

    @property
    def given(self) -> dict[str, Any]:
        return {name: getattr(self.tower.arch, name) for name in GIVEN}

    @property
    def facts(self) -> dict[str, Any]:
        settings, untrained = self.settings, self.settings.weights == RANDOM
        return {
            'name': f'CLIP {settings.variant}',
            'source': 'RANDOM WEIGHTS, never trained'
            if untrained
            else f'weights of {settings.weights}',
            'random': untrained,
            'dtype': settings.dtype,
            'digest': self.digest,
            'params': params(self.tower.arch),
            'macs': macs(self.tower.arch),
        }

    def bounded(self, dimension: Dimension) -> Dimension:
        """A decoder has no more blocks than the tower has layers."""
        if dimension.base != 'depth':
            return dimension
        ceiling = min(dimension.ceiling or np.inf, self.tower.arch.layers)
        return dataclasses.replace(dimension, ceiling=ceiling)

    def train(self, arch: Any, variables: Any, images: jax.Array) -> Any:
        """As many of the last layers' outputs as the decoder has blocks, after the first tokens."""
        return jax.lax.stop_gradient(self.tower.apply(variables, images, arch.depth)[0])

    @functools.cached_property
    def _encode(self) -> Callable[[Any, Batch], Batch]:
        def run(variables: Any, batch: Batch) -> Batch:
            images = self.preprocess(batch['images'])
            states, pooled = self.tower.apply(variables, images, self.tower.arch.layers)
            return {'states': states, 'pooled': pooled}

        return jax.jit(run)

    def encoded(self, batch: Batch) -> Batch:
        """{states, pooled} of a batch: all states, so that one program serves every depth."""
        return self._encode(self.weights, batch)

    def stored(self, batch: Batch) -> Batch:
        return batch | self.encoded(batch)

    def evaluate(self, arch: Any, batch: Batch) -> Any:
        first, *layers = batch['states']
        return (first, *layers[len(layers) - arch.depth :])

    def kept(
        self,
        arch: Any,
        batches: Callable[[], Iterable[Batch]],
        directory: pathlib.Path,
        identity: Mapping[str, Any],
        mesh: jax.sharding.Mesh,
        warn: Callable[[str], None],
    ) -> Iterable[Batch]:
        """The states of a split from disk, computed where they are missing or damaged."""
        if self.settings.cache:
            directory = pathlib.Path(self.settings.cache).expanduser()
        return Features(
            directory,
            {'digest': self.digest, 'dtype': self.settings.dtype, **identity},
            batches,
            lambda batch: self.encoded(batch)['states'],
            arch.depth,
            mesh,
            warn,
        )

    def references(
        self, batches: Iterable[Batch], class_names: Sequence[str]
    ) -> dict[str, tuple[Counts | None, str]]:
        """A linear probe, and zero-shot by the names of the classes."""
        return {
            'probe': linear_probe(batches),
            'zero-shot': zero_shot(*self._class_weights(class_names)),
        }

    def _class_weights(self, names: Sequence[str]) -> tuple[np.ndarray | None, str]:
        """The matrix (width, classes) that classifies pooled states; or None and why."""
        if self.settings.weights == RANDOM:
            return None, 'the encoder was never trained'
        try:
            return importer.class_weights(self.settings.weights, names, self.settings.trust)
        except UsageError as error:  # found in the last phase, and no reason to lose a run
            return None, str(error)


def _check(
    settings: EncoderSettings, arch: Architecture, expected: Architecture, model: Mapping[str, Any]
) -> None:
    """Raises where the weights are not of the variant, or the images not of its size."""
    if arch != expected:
        near = [name for name, known in VARIANTS.items() if known == arch]
        advice = (
            f'set --config.encoder.variant={near[0]}'
            if near
            else f'known variants: {", ".join(VARIANTS)}'
        )
        raise UsageError(
            f'config.encoder.weights={settings.weights} has '
            f'{described(dataclasses.asdict(arch))}, but config.encoder.variant='
            f'{settings.variant} has {described(dataclasses.asdict(expected))}: {advice}'
        )
    if (model['image_size'], model['channels']) != (arch.image_size, arch.channels):
        raise UsageError(
            f'config.model has image_size={model["image_size"]} and channels={model["channels"]}, '
            f'but config.encoder.variant={settings.variant} was made for image_size='
            f'{arch.image_size} and channels={arch.channels}: set these'
        )
