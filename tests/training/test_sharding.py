"""The state split over devices: the same steps, and checkpoints that move both ways."""

import os
import subprocess
import sys

import pytest
from runs import LESS_CARE, ROOT

SPLIT = """
import pathlib, sys
import jax, jax.numpy as jnp, numpy as np
from s4jax import elastic
from s4jax.models import vit
from s4jax.runtime import mesh, seeds
from s4jax.runtime.checkpoints import Checkpoints
from s4jax.runtime.checksum import checksum
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step

arch = vit.Architecture(image_size=4, channels=1, patch=2, head_dim=4, classes=3, embed_dim=16,
                        depth=2, num_heads=(2, 2), mlp_ratio=(2.0, 2.0))
place, model = mesh.create(), vit.Model(arch)
assert place.size == 4
rng = np.random.default_rng(0)
batches = [{'images': rng.normal(size=(16, 4, 4, 1)).astype(np.float32),
            'labels': rng.integers(3, size=16)} for _ in range(6)]
augment = lambda key, batch: (batch['images'], jax.nn.one_hot(batch['labels'], 3))
tx = Recipe(epochs=4, batch_size=16, lr=1e-2).optimizer(64, vit.decays)
start = jax.device_get(initial_state(model, jnp.zeros((1, 4, 4, 1)), tx, seeds.key(0, 'init')))

def like(how):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=mesh.sharding_of(place, leaf.shape, how)), start)

def steps(how, state, count, parts=1):
    recipe = Recipe(batch_size=16, sharding=how, microbatches=parts)
    step = make_step(model, tx, augment, seeds.key(0, 'fit'), place, recipe=recipe)
    losses = []
    for batch in batches[-count:]:
        state, loss = step(state, elastic.fixed(vit.sizes_of(arch)), mesh.shard(place, batch))
        losses.append(float(loss))
    return state, losses

def bytes_here(state):
    return sum(s.data.nbytes for leaf in jax.tree.leaves(state) for s in leaf.addressable_shards
               if s.device == jax.devices()[0])

whole, one = steps('replicated', mesh.place(place, start, 'replicated'), 6)
split, other = steps('fsdp', mesh.place(place, start, 'fsdp'), 6)
_, third = steps('fsdp', mesh.place(place, start, 'fsdp'), 6, parts=2)
np.testing.assert_allclose(other, one, rtol=1e-5)
np.testing.assert_allclose(third, one, rtol=1e-5)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4), split, whole)
for leaf, wanted in zip(jax.tree.leaves(split), jax.tree.leaves(like('fsdp'))):
    assert leaf.sharding.is_equivalent_to(wanted.sharding, leaf.ndim), (leaf.shape, leaf.sharding)
assert bytes_here(split) < 0.3 * bytes_here(whole), (bytes_here(split), bytes_here(whole))

# a checkpoint of either is the same state to the other, to the bit
both = [(split, 'fsdp', 'replicated'), (whole, 'replicated', 'fsdp')]
for n, (state, how, to) in enumerate(both):
    checkpoints = Checkpoints(pathlib.Path(sys.argv[1]) / str(n), sys.exit)
    checkpoints.save(6, state)
    step, found = checkpoints.latest(like(to))
    assert step == 6 and checksum(found) == checksum(state) == checksum(mesh.gather(place, state))
    jax.tree.map(np.testing.assert_array_equal, found, state)
    np.testing.assert_allclose(steps(to, found, 2)[1], steps(how, state, 2)[1], rtol=1e-5)
print('equal')
"""


@pytest.mark.slow
def test_a_split_state_takes_the_same_steps_and_its_checkpoints_move(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', SPLIT, str(tmp_path)],
        cwd=ROOT,
        env=os.environ
        | {
            'JAX_PLATFORMS': 'cpu',
            'XLA_FLAGS': f'--xla_force_host_platform_device_count=4 {LESS_CARE}',
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.strip() == 'equal', done.stderr[-3000:]
