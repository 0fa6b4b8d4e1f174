"""The compiled step against optax and the model called by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from s4jax import elastic
from s4jax.models import vit
from s4jax.runtime import mesh, seeds
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step

ARCH = vit.Architecture(
    image_size=4,
    channels=1,
    patch=2,
    head_dim=4,
    classes=3,
    embed_dim=8,
    depth=1,
    num_heads=(2,),
    mlp_ratio=(2.0,),
)
SIZES = elastic.fixed(vit.sizes_of(ARCH))
DECAYED = ('kernel', 'key_positions', 'value_positions')


def augment(key, batch):
    images = batch['images'] + 0.01 * jax.random.normal(key, batch['images'].shape)
    return images, jax.nn.one_hot(batch['labels'], 3)


def made(place, encode=None, frozen=()):
    model, recipe = vit.Model(ARCH), Recipe(epochs=4, batch_size=6, lr=1e-2, weight_decay=0.1)
    tx = recipe.optimizer(60, vit.decays)
    state = initial_state(model, jnp.zeros((1, 4, 4, 1)), tx, seeds.key(0, 'init'))
    options = (encode, frozen) if encode else ()
    return model, state, make_step(model, tx, augment, seeds.key(0, 'fit'), place, *options)


def batch():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(6, 4, 4, 1)).astype(np.float32)
    return {'images': images, 'labels': rng.integers(3, size=6)}


def test_a_step_is_adamw_on_the_cross_entropy():
    """With decay on kernels and relative positions alone."""
    place = mesh.create()
    model, state, step = made(place)
    key = jax.random.fold_in(jax.random.fold_in(seeds.key(0, 'fit'), 0), 0)
    images, targets = augment(jax.random.split(key)[0], batch())

    def loss_of(params):
        logits = model.apply({'params': params}, images)
        return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), -1))

    params = jax.tree.map(np.array, state['params'])
    loss, gradients = jax.jit(jax.value_and_grad(loss_of))(params)
    lr = 1e-2  # no warm-up: the cosine begins at its top

    def update(path, p, g):
        decay = 0.1 * p if path[-1].key in DECAYED else 0
        return p - lr * (g / (jnp.abs(g) + 1e-8) + decay)

    expected = jax.tree_util.tree_map_with_path(update, params, gradients)
    start = mesh.replicate(place, jax.tree.map(np.array, state))
    after, measured = step(start, SIZES, mesh.shard(place, batch()))
    np.testing.assert_allclose(measured, loss, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-5), after['params'], expected
    )
    assert int(after['step']) == 1


def test_a_step_that_is_not_finite_changes_no_weight():
    place = mesh.create()
    _, state, step = made(place)
    before = jax.tree.map(np.array, state)
    bad = batch() | {'images': batch()['images'] * np.nan}
    after, loss = step(mesh.replicate(place, before), SIZES, mesh.shard(place, bad))
    assert np.isnan(loss) and int(after['step']) == 1
    for part in ('params', 'opt_state'):
        jax.tree.map(np.testing.assert_array_equal, after[part], before[part])


def test_frozen_weights_are_arguments_outside_of_the_gradient():
    """An encoder that doubles images by a frozen weight: as if the images were twice as bright."""
    place = mesh.create()
    frozen = mesh.replicate(place, np.float32(2))
    _, state, step = made(place, lambda weight, images: weight * images, frozen)
    _, _, plain = made(place)
    before = jax.tree.map(np.array, state)
    _, doubled = step(mesh.replicate(place, before), SIZES, mesh.shard(place, batch()))
    _, once = plain(mesh.replicate(place, before), SIZES, mesh.shard(place, batch()))
    key = jax.random.fold_in(jax.random.fold_in(seeds.key(0, 'fit'), 0), 0)
    images, targets = augment(jax.random.split(key)[0], batch())
    logits = vit.Model(ARCH).apply({'params': before['params']}, 2 * images)
    expected = -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), -1))
    np.testing.assert_allclose(doubled, expected, rtol=1e-5)
    assert abs(float(doubled) - float(once)) > 1e-6
