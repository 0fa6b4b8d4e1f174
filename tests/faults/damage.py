"""Damaged checkpoints: named and the one before used, or harmless; never silently wrong."""

import functools
import os
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
from cases import Wrong

from s4jax.models import vit
from s4jax.runtime import mesh
from s4jax.runtime.checkpoints import Checkpoints, tree_digest
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state

ARCH = vit.Architecture(
    image_size=8,
    channels=1,
    patch=2,
    head_dim=8,
    classes=10,
    embed_dim=16,
    depth=2,
    num_heads=(2, 3),
    mlp_ratio=(2.0, 3.0),
)
STEPS = (10, 20, 30)
KINDS = ('flip', 'cut', 'delete', 'empty', 'swap', 'step')


@functools.cache
def states():
    """The states of a real optimizer and model at each step, of random numbers."""
    tx = Recipe().optimizer(1000, vit.decays)
    first = initial_state(vit.Model(ARCH), jnp.zeros((1, 8, 8, 1)), tx, jax.random.key(0))
    rng = np.random.default_rng(0)

    def drawn(leaf):
        kind = rng.normal(size=leaf.shape) if leaf.dtype == jnp.float32 else np.full(leaf.shape, 7)
        return kind.astype(leaf.dtype)

    return {n: mesh.replicate(mesh.create(), jax.tree.map(drawn, first)) for n in STEPS}


def pristine(folder):
    """Checkpoints of all steps, saved once."""
    directory = folder / 'pristine' / 'supernet_0'
    if not directory.exists():
        checkpoints = Checkpoints(directory, print)
        for step, state in states().items():
            checkpoints.save(step, state)
        checkpoints.wait()
    return directory


def files(step):
    return sorted(path for path in step.rglob('*') if path.is_file())


def damage(directory, kind, rng):
    """Damages the newest checkpoint of a directory; returns the damaged file's name."""
    newest, older = (directory / str(step) for step in STEPS[:0:-1])
    victim = rng.choice(files(newest))
    if kind == 'step':  # another checkpoint under the newest one's name
        shutil.rmtree(newest)
        shutil.copytree(older, newest)
        return newest.name
    if kind == 'swap':  # a file of the older checkpoint in the place of one of the newest
        twin = older / victim.relative_to(newest)
        other = twin if twin.exists() else rng.choice(files(older))
        victim.write_bytes(other.read_bytes())
    elif kind == 'flip':
        data = bytearray(victim.read_bytes())
        for _ in range(rng.choice((1, 1, 8))):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        victim.write_bytes(data)
    elif kind == 'cut':
        os.truncate(victim, rng.randrange(max(1, victim.stat().st_size)))
    elif kind == 'empty':
        os.truncate(victim, 0)
    elif kind == 'delete':
        victim.unlink()
    return str(victim.relative_to(newest))


def case(folder, number):
    """What came of one damage: 'fallen back' with a warning, or 'harmless'; raises Wrong."""
    rng, kind = random.Random(f'damage {number}'), KINDS[number % len(KINDS)]
    directory = folder / f'damage-{number}' / 'supernet_0'
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(pristine(folder), directory)
    name, warnings = damage(directory, kind, rng), []
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        states()[STEPS[0]],
    )
    step, state = Checkpoints(directory, warnings.append).latest(like) or (None, None)
    if step not in STEPS or tree_digest(state) != tree_digest(states()[step]):
        raise Wrong(f'{kind} of {name}: step {step} came back with other values')
    if (step == STEPS[-1]) != (not warnings):
        raise Wrong(f'{kind} of {name}: back to step {step} with the warnings {warnings}')
    shutil.rmtree(directory.parent)
    return {f'{kind}: {"fallen back" if warnings else "harmless"}': 1}, []
