"""Small models of every family with random weights, to predict with and to export."""

import functools

import jax
import numpy as np

from s4jax.data import augment
from s4jax.exporting.program import Program
from s4jax.models import FAMILIES, clip, inputs_of, shunted, swin, vit
from s4jax.predictor import Predictor
from s4jax.runtime import mesh as meshes

CLASSES = 10
STORED = 20  # pixels of a stored image: to be resized to the model's
SETTINGS = augment.PreprocessSettings(mean=(0.3, 0.4, 0.5), std=(0.2, 0.3, 0.4), crop_fraction=0.8)
GREY = augment.PreprocessSettings(mean=(0.3,), std=(0.35,))
# blocks of unequal sizes: equal ones are kept as one stack
ARCHITECTURES = {
    'vit': vit.Architecture(
        image_size=8,
        patch=2,
        head_dim=8,
        classes=CLASSES,
        embed_dim=24,
        depth=2,
        num_heads=(2, 3),
        mlp_ratio=(2.0, 3.0),
    ),
    'swin': swin.Architecture(
        image_size=16,
        patch=2,
        window=4,
        num_heads=(1, 2),
        classes=CLASSES,
        embed_dim=8,
        depths=(2, 1),
        mlp_ratio=(1.0, 1.5, 2.0),
    ),
    'shunted': shunted.Architecture(
        image_size=16,
        num_heads=(2, 4),
        sr_ratios=(2, 1),
        stem_width=8,
        classes=CLASSES,
        embed_dim=8,
        depths=(1, 2),
        mlp_ratio=(2.0, 2.0, 1.0),
    ),
    'clip': clip.Architecture(
        image_size=8,
        channels=1,
        patch=2,
        width=48,
        head_dim=8,
        cross_heads=4,
        classes=CLASSES,
        embed_dim=16,
        depth=2,
        num_heads=(1, 2),
        mlp_ratio=(1.0, 1.5),
    ),
}


def random(tree, seed=0):
    """Weights of the shapes of a tree, none of them at its first value; variances are positive."""
    rng = np.random.default_rng(seed)

    def leaf(path, like):
        drawn = rng.normal(size=like.shape).astype(np.float32) * 0.2
        name = path[-1].key
        return drawn + 1 if name == 'scale' else np.abs(drawn) + 0.5 if name == 'var' else drawn

    return jax.tree_util.tree_map_with_path(leaf, tree)


def settings_of(family):
    return GREY if ARCHITECTURES[family].channels == 1 else SETTINGS


@functools.cache
def made(name):
    """A predictor of the family."""
    arch, family = ARCHITECTURES[name], FAMILIES[name]
    model, mesh, settings = family.Model(arch), meshes.create(), settings_of(name)
    preprocess = functools.partial(
        augment.eval_batch, image_size=arch.image_size, preprocess=settings
    )
    facts = {'image_size': arch.image_size, 'channels': arch.channels}
    kind = inputs_of(family)
    given = {'weights': 'random', 'variant': 'tiny'} if name == 'clip' else {}
    inputs = kind.create(kind.Settings(**given), facts, preprocess, mesh, 0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs.example(arch))
    names = tuple(f'class {i}' for i in range(CLASSES))
    variables = meshes.replicate(mesh, random(shapes))
    return Predictor(family, arch, model, variables, inputs, names, STORED, 16)


def images(name, count, seed=0):
    """Stored images uint8 (count, height, width, channels)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *made(name).shape)).astype(np.uint8)


def program(name, preprocess='inside'):
    """The function of the family's predictor that is exported."""
    return Program.create(made(name), settings_of(name), preprocess)
