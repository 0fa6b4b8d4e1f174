"""A batch in parts: the gradients of the whole batch, whatever is drawn for the whole batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from runs import config

from s4jax import elastic
from s4jax.data import augment
from s4jax.errors import UsageError
from s4jax.models import shunted, swin, vit
from s4jax.run import check_architectures
from s4jax.runtime import mesh, seeds
from s4jax.training.recipe import Recipe, SupernetSettings
from s4jax.training.step import initial_state, make_step

VIT = vit.Architecture(
    image_size=8,
    channels=1,
    patch=2,
    head_dim=4,
    classes=3,
    embed_dim=8,
    depth=3,
    num_heads=(2, 2, 2),
    mlp_ratio=(2.0, 2.0, 2.0),
)
SETTINGS = augment.AugmentSettings(crop='pad', padding=1, rand_augment='', mixup=0.8, cutmix=1.0)
PREPROCESS = augment.PreprocessSettings(mean=(0.3,), std=(0.3,))
BATCH = {
    'images': np.random.default_rng(0).integers(256, size=(24, 8, 8, 1)).astype(np.uint8),
    'labels': np.random.default_rng(1).integers(3, size=24),
}


def augmented(key, batch):
    return augment.train_batch(key, batch['images'], batch['labels'], 3, 8, SETTINGS, PREPROCESS)


@pytest.mark.parametrize('start, counts', [('fixed', [6]), ('masked', [24])])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(start, counts):
    """With mixup, cutmix, crops, erasing and stochastic depth, which are drawn for the batch.

    The optimizer adds the gradients to the weights, so that the step shows the gradients.
    """
    sizes = vit.sizes_of(dataclasses.replace(VIT, depth=2, num_heads=(1, 2), mlp_ratio=(2.0, 1.0)))
    run = elastic.fixed(sizes) if start == 'fixed' else elastic.masked(sizes, vit.sizes_of(VIT))
    place, model = mesh.create(), vit.Model(VIT, drop_path=0.5)
    tx = optax.sgd(1.0)
    state = initial_state(model, jnp.zeros((1, 8, 8, 1)), tx, seeds.key(0, 'init'))
    state = jax.device_get(state)
    state['params'] = jax.tree.map(  # biases and norms at their start would hide a wrong row
        lambda p, n: p + 0.1 * np.random.default_rng(n).normal(size=p.shape).astype(np.float32),
        state['params'],
        jax.tree.unflatten(
            jax.tree.structure(state['params']), range(len(jax.tree.leaves(state['params'])))
        ),
    )

    def gradients(parts):
        recipe = Recipe(batch_size=24, microbatches=parts)
        step = make_step(model, tx, augmented, seeds.key(3, 'x'), place, recipe=recipe)
        after, loss = step(mesh.replicate(place, state), run, mesh.shard(place, BATCH))
        difference = jax.tree.map(lambda a, b: np.asarray(b - a), after['params'], state['params'])
        return float(loss), difference

    loss, whole = gradients(1)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole))
    assert largest > 1e-2
    for parts in counts:
        found, each = gradients(parts)
        assert found == pytest.approx(loss, rel=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * max(1, largest)),
            each,
            whole,
        )


def test_a_part_of_a_batch_has_its_rows_of_stochastic_depth():
    key = jax.random.key(5)
    whole = elastic.drop_path(key, 0.5, 3, 12)
    for part in range(4):
        found = elastic.drop_path(elastic.Part(key, part, 4), 0.5, 3, 3)
        np.testing.assert_array_equal(found, whole[..., part::4])


@pytest.mark.parametrize(
    'devices, splits, settings, advice',
    [
        (1, True, dict(batch_size=12), '--config.retrain.microbatches=2 (now 1), for 0.5 of'),
        (1, True, dict(batch_size=15, microbatches=2 - 1), '--config.retrain.microbatches=3 (now'),
        (2, True, dict(batch_size=8, microbatches=4), '--config.retrain.sharding=fsdp, for 1/2'),
        (2, False, dict(batch_size=8, sharding='fsdp'), '--config.retrain.batch_size=4 (now 8)'),
        (1, False, dict(batch_size=1), 'batch_size=1 is the smallest'),
    ],
)
def test_an_error_of_memory_names_what_to_write(devices, splits, settings, advice):
    recipe = Recipe(**settings)
    assert advice in recipe.smaller(devices, splits)
    assert SupernetSettings(**settings).smaller(devices, splits) == recipe.smaller(
        devices, splits
    ).replace('retrain', 'supernet')


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match='retrain.microbatches=5 must divide the 12 .*: write 6'):
        Recipe(batch_size=24, microbatches=5).check_devices(2)
    with pytest.raises(UsageError, match='microbatches=99 .*: write 12'):
        Recipe(batch_size=24, microbatches=99).check_devices(2)
    Recipe(batch_size=24, microbatches=6).check_devices(2)


def test_a_model_that_normalises_over_the_batch_refuses_parts():
    from s4jax.models import inputs_of
    from s4jax.search.space import SearchSpace

    for name, module in (('configs/shunted.py:smoke', shunted), ('configs/swin.py:smoke', swin)):
        found = config(name, retrain__microbatches=2)
        inputs = inputs_of(module).create(found.encoder, found.inputs, None, mesh.create(), 0)
        space = SearchSpace(
            tuple(d.dimension(n) for n, d in found.dimensions.items()),
            module.stages(tuple(found.dimensions)),
        )
        if module is swin:
            check_architectures(found, inputs, space)
        else:
            with pytest.raises(UsageError, match='retrain.microbatches=2: a shunted .*: write 1'):
                check_architectures(found, inputs, space)
