"""A whole run beside a frozen encoder: interrupted and not, what it leaves, and what is told of an encoder that does not fit."""

import functools
import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from runs import ROOT, check_winner, command, interrupted, run, same

from s4jax import elastic
from s4jax import run as job
from s4jax.errors import UsageError
from s4jax.models.clip import decoder as ladder
from s4jax.runtime.signals import Signals
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step

SMOKE = 'configs/clip.py:smoke'
SHORT = dict(
    explore__iterations=0, budget__params=45e3, evaluate__batch_size=100, baseline__depth=1
)


@pytest.mark.slow
def test_a_run_with_an_encoder_interrupted_and_not(tmp_path, monkeypatch):
    """Killed amid the encoder's states, stopped in the last stage."""
    monkeypatch.setenv(
        'XLA_FLAGS', '--xla_backend_optimization_level=0'
    )  # compiling is most of the time
    whole = tmp_path / 'whole'
    done = run(command(whole, SMOKE, **SHORT))
    assert done.returncode == 0, done.stderr
    check_winner(whole)
    result = json.loads((whole / 'result.json').read_text())
    assert 'RANDOM WEIGHTS, never trained (no accuracy here says anything of CLIP)' in done.stdout
    assert 'random weights and was never trained' in (whole / 'report.html').read_text()
    probe = result['references']['probe']
    assert (
        probe['images'] == 400 and probe['accuracy'] == probe['correct'] / 400 > 0.5
    )  # chance is 0.1
    assert f'{probe["accuracy"]:.2%}' in done.stdout
    assert 'zero-shot  not available: the encoder was never trained' in done.stdout
    saved = ''.join(
        path.read_text() for path in whole.glob('checkpoints/supernet_0/*/state/_METADATA')
    )
    assert (
        'gates' in saved and 'norm_before' not in saved
    )  # the decoder is saved, the encoder is not
    assert (
        sum(1 for _ in whole.glob('features/*/*/*.bin')) == 4 * 3
    )  # batches × (first tokens and two layers)

    workdir = tmp_path / 'parts'
    for moment, code in (('features:5', -9), ('stage:test:0:SIGINT', 130)):
        ended = interrupted(moment, workdir, SMOKE, **SHORT)
        assert ended.returncode == code, (moment, ended.stderr)
        assert moment != 'features:5' or sum(1 for _ in workdir.glob('features/*/*/*.bin')) == 4
    again = run(command(workdir, SMOKE, **SHORT))
    assert again.returncode == 0, again.stderr
    same(workdir, whole)
    assert again.stdout.replace(str(workdir), '') == done.stdout.replace(str(whole), '')


def config(**changes):
    from runs import load

    values = load(ROOT / SMOKE.partition(':')[0], ':smoke')
    for name, value in changes.items():
        *path, last = name.split('__')
        place = values
        for part in path:
            place = place[part]
        place[last] = value
    return values


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
        ({'encoder': {}}, 'config.encoder lacks weights'),
        (
            {'encoder__weights': '/nowhere'},
            'encoder.weights=/nowhere does not exist: download model.safetensors and config.json of',
        ),
        (
            {'encoder__variant': 'ViT-B/32'},
            'config.model has image_size=8 and channels=1, but encoder.variant=ViT-B/32 was made for image_size=224',
        ),
        ({'model__width': 48}, 'config.model.width is unknown'),
        ({'space__depth__upper': 7}, 'space.depth: bounds 2..7 lie outside floor=1 and ceiling=6'),
        ({'space__embed_dim__step': 4}, 'embed_dim=20 is not a multiple of cross_heads=8'),
        ({'family': 'vit'}, 'config.encoder is unknown'),
    ],
)
def test_encoders_that_do_not_fit_are_told_before_anything_is_written(changes, words, tmp_path):
    extra = {'model__cross_heads': 8} if 'space__embed_dim__step' in changes else {}
    with pytest.raises(UsageError) as told:
        job.Job.create(config(**changes, **extra), tmp_path / 'run', Signals())
    assert words in str(told.value) and '\n' not in str(told.value)
    assert not (tmp_path / 'run').exists()


def test_the_encoder_is_an_argument_of_the_step_and_no_part_of_its_state(tmp_path):
    made = job.Job.create(config(), tmp_path / 'run', Signals())
    arch = made.baseline
    model, tx = (
        ladder.Model(arch),
        Recipe(epochs=1, batch_size=4, lr=1e-3).optimizer(100, ladder.decays),
    )
    state = initial_state(model, made.example(arch), tx, jax.random.key(0))
    encode = functools.partial(made.encoder.encode, arch=arch)
    step = make_step(
        model, tx, made.augment, jax.random.key(1), made.mesh, encode, made.encoder.variables
    )
    batch = {'images': made.data.train.images[:4], 'labels': made.data.train.labels[:4]}
    traced = jax.make_jaxpr(
        lambda state, batch: step(state, elastic.fixed(ladder.sizes_of(arch)), batch)
    )(state, batch)
    (program,) = (
        equation for equation in traced.jaxpr.eqns if equation.primitive.name in ('jit', 'pjit')
    )
    assert sum(np.size(const) for const in program.params['jaxpr'].consts) < 1000
    frozen = {leaf.shape for leaf in jax.tree.leaves(made.encoder.variables)}
    assert frozen <= {variable.aval.shape for variable in program.invars}
    assert sum(leaf.size for leaf in jax.tree.leaves(state['params'])) == ladder.params(arch)
    assert (
        sum(leaf.size for leaf in jax.tree.leaves(state)) <= 3 * ladder.params(arch) + 8
    )  # AdamW's two moments, counters


def test_weights_of_another_size_are_told(tmp_path):
    oracle = np.load(ROOT / 'tests' / 'oracles' / 'clip_vision.npz')
    safetensors.numpy.save_file(
        {
            name.removeprefix('param:'): oracle[name]
            for name in oracle.files
            if name.startswith('param:')
        },
        tmp_path / 'model.safetensors',
    )
    (tmp_path / 'config.json').write_text(json.dumps({'vision_config': {'num_attention_heads': 4}}))
    with pytest.raises(
        UsageError,
        match='has image_size=32, channels=3, patch=8, width=32, layers=3, heads=4, hidden=128, but '
        'encoder.variant=tiny has image_size=8',
    ):
        job.Job.create(config(encoder__weights=str(tmp_path)), tmp_path / 'run', Signals())
