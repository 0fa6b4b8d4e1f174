"""The inputs of a decoder: the tower's own states, outside of gradient and train state."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from runs import ORACLES, config

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.models.clip import decoder
from s4jax.models.clip.tower import Tower
from s4jax.run import prepare
from s4jax.runtime.signals import Signals
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step

SMOKE = 'configs/clip.py:smoke'


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'encoder__wieghts': ''}, 'config.encoder.wieghts is unknown; did you mean weights?'),
        (
            {'encoder__variant': 'ViT-B/8'},
            "config.encoder.variant='ViT-B/8' must be one of 'ViT-B/16', 'ViT-B/32'",
        ),
        (
            {'encoder__dtype': 'float16'},
            "config.encoder.dtype='float16' must be one of 'float32', 'bfloat16'",
        ),
        ({'encoder': {}}, 'config.encoder.weights is missing: a folder, a file, a name on the hub'),
        (
            {'encoder__weights': '/nowhere'},
            'encoder.weights=/nowhere does not exist: download model.safetensors and config.json',
        ),
        (
            {'encoder__variant': 'ViT-B/32'},
            'config.model has image_size=8 and channels=1, but config.encoder.variant=ViT-B/32 was '
            'made for image_size=224',
        ),
        ({'model__width': 48}, 'config.model.width is unknown'),
        ({'space__depth__upper': 7}, 'depth'),
        ({'space__embed_dim__step': 4}, 'embed_dim=20 is not a multiple of cross_heads=8'),
        ({'family': 'vit'}, 'config.model.cross_heads is unknown'),
    ],
)
def test_encoders_that_do_not_fit_are_refused_before_anything_is_written(changes, words, tmp_path):
    extra = {'model__cross_heads': 8} if 'space__embed_dim__step' in changes else {}
    with pytest.raises(UsageError) as error:
        prepare(config(SMOKE, **changes, **extra), tmp_path / 'run', Signals())
    assert words in str(error.value) and '\n' not in str(error.value), str(error.value)
    assert not (tmp_path / 'run').exists()


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    return prepare(config(SMOKE), tmp_path_factory.mktemp('run') / 'run', Signals())


def test_the_encoder_is_an_argument_of_the_step_and_no_part_of_its_state(prepared):
    task, session = prepared
    arch = task.baseline
    tx = Recipe(epochs=1, batch_size=4, lr=1e-3).optimizer(100, decoder.decays)
    model = decoder.Model(arch)
    state = initial_state(model, task.inputs.example(arch), tx, jax.random.key(0))
    encode, frozen = functools.partial(task.inputs.train, arch), task.inputs.variables
    key = jax.random.key(1)
    step = make_step(model, tx, task.augment, key, session.mesh, encode, frozen)
    sizes = elastic.fixed(decoder.sizes_of(arch))
    batch = {'images': task.data.train.images[:4], 'labels': task.data.train.labels[:4]}
    traced = jax.make_jaxpr(lambda state, batch: step(state, sizes, batch))(state, batch)
    (program,) = (e for e in traced.jaxpr.eqns if e.primitive.name in ('jit', 'pjit'))
    assert sum(np.size(const) for const in program.params['jaxpr'].consts) < 1000
    shapes = {leaf.shape for leaf in jax.tree.leaves(frozen)}
    assert shapes <= {variable.aval.shape for variable in program.invars}
    assert sum(leaf.size for leaf in jax.tree.leaves(state['params'])) == decoder.params(arch)
    # AdamW's two moments, counters
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) <= 3 * decoder.params(arch) + 8


def test_training_and_evaluation_see_the_last_layers_of_the_tower(prepared):
    task, session = prepared
    arch, inputs = task.baseline, task.inputs
    images = task.data.search.images[:4]
    pixels = inputs.preprocess(images)
    tower = Tower(inputs.tower.arch)
    (first, *layers), pooled = tower.apply(inputs.variables, pixels, inputs.tower.arch.layers)
    wanted = (first, *layers[-arch.depth :])
    assert len(wanted) == 1 + arch.depth == 4
    batch = inputs.stored({'images': images})
    for found in (inputs.train(arch, inputs.variables, pixels), inputs.evaluate(arch, batch)):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(batch['pooled'], pooled, rtol=2e-4, atol=2e-4)
    gradient = jax.grad(lambda p: sum(map(jax.numpy.sum, inputs.train(arch, inputs.variables, p))))
    assert not np.any(gradient(pixels))


def test_a_decoder_has_no_more_blocks_than_the_tower_has_layers(prepared):
    task, _ = prepared
    depth = next(d for d in task.space.dimensions if d.name == 'depth')
    assert depth.ceiling == task.inputs.tower.arch.layers == 6
    other = dataclasses.replace(depth, name='embed_dim', ceiling=None)
    assert task.inputs.bounded(other) is other


def test_weights_of_another_size_are_refused(tmp_path):
    oracle = np.load(ORACLES / 'clip_vision.npz')
    named = {n.removeprefix('param:'): oracle[n] for n in oracle.files if n.startswith('param:')}
    safetensors.numpy.save_file(named, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text(json.dumps({'vision_config': {'num_attention_heads': 4}}))
    with pytest.raises(
        UsageError,
        match='has image_size=32, channels=3, patch=8, width=32, layers=3, heads=4, hidden=128, '
        'but config.encoder.variant=tiny has image_size=8',
    ):
        prepare(config(SMOKE, encoder__weights=str(tmp_path)), tmp_path / 'run', Signals())
