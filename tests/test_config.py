"""Configs: nothing wrong gets as far as training; what is left out has its default."""

import itertools
import json
import math
import pathlib

import numpy as np
import pytest
from runs import ROOT, config, values

from s4jax import config as configs
from s4jax import config_file, main, pipeline, settings
from s4jax import data as datasets
from s4jax.data.stored import in_memory
from s4jax.errors import UsageError
from s4jax.models import FAMILIES, inputs_of
from s4jax.models.clip import tower
from s4jax.planning import announce

FILES = [
    'configs/digits.py',
    'configs/letters.py',
    'configs/vit.py:cifar100',
    'configs/swin.py:cifar100',
    'configs/swin.py:smoke',
    'configs/shunted.py:cifar100',
    'configs/shunted.py:sun397',
    'configs/shunted.py:smoke',
    'configs/clip.py:cifar100',
    'configs/clip.py:smoke',
]
MUTATIONS = {
    'text': 'text',
    'negative': -1,
    'zero': 0,
    'huge': 1e30,
    'nan': math.nan,
    'infinite': math.inf,
    'empty': '',
    'list': [1, [2]],
}
# What is right to be accepted, by the end of the key. Everything else must be refused.
ZERO = (
    'seed min_lr warmup_epochs weight_decay drop_path erasing mixup cutmix switch smoothing '
    'padding iterations mutations crossovers scalar_probability block_probability num_conv '
    'unreadable'
).split()
TEXT = ('data.root', 'encoder.cache')  # any text is the name of a folder
ACCEPTED = {
    *(('zero', key) for key in ZERO),
    *itertools.product(MUTATIONS, TEXT),
    ('empty', 'augment.rand_augment'),
}


class Accepted(Exception):
    """A config was let through to the first training."""


@pytest.fixture
def no_training(monkeypatch):
    """Stops a run where its first steps would be timed."""

    def stop(*_, **__):
        raise Accepted

    monkeypatch.setattr(announce, 'announce', stop)


def fake_data(monkeypatch, channels):
    """Images of the right kind in place of data that is not here."""
    images = np.zeros((4000, 4, 4, channels), np.uint8)
    prepared = in_memory(('a', 'b'), images, np.arange(4000) % 2)
    parts = [datasets.Split(prepared, part) for part in np.split(np.arange(4000), [3000, 3500])]
    data = datasets.Data('fake', prepared, *parts)
    monkeypatch.setattr(datasets, 'load', lambda *_: data)


def flags(name, overrides, workdir):
    """The command line of a config with one key set to a value, as text."""
    texts = [f'--config.{key}={value}' for key, value in overrides.items()]
    return [f'--config={ROOT / name}', f'--workdir={workdir}', *texts]


def keys(name):
    found = configs.read(config_file.load(str(ROOT / name)))
    return [key for key, _, _ in settings.keys(type(found), found)]


def right(mutation, key):
    """Whether a mutation of a key leaves a sound config."""
    return any(mutation == kind and f'.{key}'.endswith(f'.{end}') for kind, end in ACCEPTED)


@pytest.mark.parametrize('name', FILES)
def test_every_key_of_every_config_refuses_what_is_wrong(
    name, tmp_path, monkeypatch, no_training, capsys
):
    """Each mutation ends with exit code 2 and one line, nothing written, or is rightly accepted."""
    found = configs.read(config_file.load(str(ROOT / name)))
    replaced = []  # keys of what is not here and has something in its place
    if found.data.name != 'digits':
        replaced.append('data.name')
        fake_data(monkeypatch, found.inputs['channels'])
    if found.encoder.model_dump().get('weights', 'random') != 'random':  # as if they were here
        replaced.append('encoder.weights')
        arch = tower.VARIANTS[found.encoder.variant]
        small = {'params': {'weight': np.zeros(1, np.float32)}}
        monkeypatch.setattr('s4jax.models.weights.clip.load', lambda *_: (arch, small))
    cases, wrong = 0, []
    for key, (mutation, value) in itertools.product(keys(name), MUTATIONS.items()):
        if key in replaced:
            continue
        cases += 1
        workdir = tmp_path / f'{cases}'
        try:
            code = main.main(flags(name, {key: value}, workdir))
        except Accepted:
            code = 0
        error = capsys.readouterr().err
        accepted = right(mutation, key)
        if (mutation, key) == ('zero', 'preprocess.mean'):
            accepted = found.inputs['channels'] == 1
        if (mutation, key) == ('empty', 'data.root'):
            accepted = found.data.name != 'folder'
        if code == 0 and not accepted:
            wrong.append(f'accepted: {key}={value!r}')
        if code and accepted:
            wrong.append(f'refused: {key}={value!r}: {error}')
        if code and (code != 2 or error.count('\n') != 1 or not error.startswith('s4jax: ')):
            wrong.append(f'not one line: {key}={value!r}: {code} {error}')
        if code and workdir.exists():
            wrong.append(f'written: {key}={value!r}')
    assert not wrong, '\n'.join(wrong)
    assert cases >= 400, cases


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'budgt': {}}, 'config.budgt is unknown; did you mean budget?'),
        ({'explore__piars': 3}, 'config.explore.piars is unknown; did you mean pairs?'),
        ({'budget__parms': 3e6}, 'config.budget.parms is unknown; did you mean params?'),
        ({'augment__mxup': 0.1}, 'config.augment.mxup is unknown; did you mean mixup?'),
        (
            {'space__embed_dim__steps': 2},
            'config.space.embed_dim.steps is unknown; did you mean step?',
        ),
        (
            {'space__emded_dim': dict(lower=1, upper=2, step=1)},
            'config.space.emded_dim is unknown; did you mean embed_dim?',
        ),
        ({'family': 'vitt'}, "config.family='vitt' must be one of 'shunted', 'swin', 'vit'"),
        (
            {'supernet__execution': 'fast'},
            "config.supernet.execution='fast' must be one of 'auto', 'masked', 'sliced'",
        ),
        ({'dtype': 'float16'}, "config.dtype='float16' must be one of 'float32', 'bfloat16'"),
        ({'explore__pairs': 0}, 'config.explore.pairs=0 must be a whole number from 1'),
        ({'explore__pairs': 1e9}, 'config.explore.pairs=1000000000.0 must be a whole number'),
        ({'evolve__population': 2.5}, 'config.evolve.population=2.5 must be a whole number'),
        ({'supernet__lr': -1.0}, 'config.supernet.lr=-1.0 must be a number above 0 and at most 10'),
        ({'retrain__lr': float('inf')}, 'config.retrain.lr=inf must be a number above 0'),
        ({'retrain__min_lr': 1}, 'config.retrain: min_lr=1.0 exceeds lr=0.002: lower min_lr'),
        ({'retrain__warmup_epochs': 30}, 'config.retrain: warmup_epochs=30.0 exceeds epochs=25'),
        (
            {'space__embed_dim__upper': 30},
            'upper=30 is not on the grid of lower=16 and step=8',
        ),
        ({'space__embed_dim__upper': 1e9}, 'config.space.embed_dim'),
        ({'space__depth__upper': 1e9}, 'config.space.depth'),
        ({'budget__params': -5.0}, 'config.budget.params=-5.0 must be a number above 0'),
        ({'preprocess__crop_fraction': 2}, 'config.preprocess.crop_fraction=2 must be'),
        ({'preprocess__std': [0]}, 'config.preprocess.std=0 must be'),
        ({'preprocess__std': [0.3, 0.3]}, 'config.preprocess'),
        ({'preprocess__mean': [1e30]}, 'config.preprocess.mean=1e+30 must be'),
        ({'augment__smoothing': float('nan')}, 'config.augment.smoothing=nan must be'),
        ({'augment__erasing': 2}, 'config.augment.erasing=2 must be'),
        ({'augment__mixup': -1}, 'config.augment.mixup=-1 must be'),
        ({'augment__rand_augment': 'x9'}, 'config.augment'),
        ({'data__name': ''}, "config.data.name='': write digits, folder"),
        ({'seed': -1}, 'config.seed=-1 must be a whole number from 0'),
        ({'seed': 2**40}, 'config.seed=1099511627776 must be a whole number from 0'),
        ({'evaluate__batch_size': 0}, 'config.evaluate.batch_size=0 must be'),
        ({'encoder': {'weights': 'x'}}, 'config.encoder.weights is unknown'),
        ({'model__patch': True}, 'config.model.patch=True must be a whole number'),
    ],
)
def test_what_is_wrong_in_one_line(changes, words):
    with pytest.raises(UsageError) as error:
        config(**changes)
    assert words in str(error.value) and '\n' not in str(error.value), str(error.value)


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'model__image_size': 9}, 'image_size=9 is not a multiple of patch=2'),
        (
            {'model__channels': 3, 'preprocess__mean': [0.3] * 3, 'preprocess__std': [0.3] * 3},
            'config.model.channels=3, but the images of digits have 1: write 1',
        ),
        ({'baseline__num_heads': [1, 2]}, 'config.baseline: '),
        (
            {'supernet__batch_size': 4000},
            'config.supernet.batch_size=4000 exceeds the 997 training images',
        ),
        (
            {'retrain__batch_size': 4000},
            'config.retrain.batch_size=4000 exceeds the 1,397 training images',
        ),
        ({'data__search': 2}, 'data.search'),
    ],
)
def test_what_the_data_or_the_family_refuses(changes, words, tmp_path, no_training):
    with pytest.raises(UsageError) as error:
        pipeline.run(config(**changes), tmp_path / 'run', pipeline.Signals())
    assert words in str(error.value) and '\n' not in str(error.value), str(error.value)
    assert not (tmp_path / 'run').exists()


def test_a_key_that_a_config_leaves_out_has_its_default_and_can_be_set():
    short = values()
    del short['evolve'], short['checkpoint'], short['augment']['mixup'], short['seed']
    read = configs.read(short)
    assert (read.evolve.population, read.checkpoint.save_every, read.seed) == (50, 1000, 0)
    assert read.augment.mixup == 0.8
    config_file.override(
        short,
        [
            ('evolve.population', '60'),
            ('budget.params', '61.5k'),
            ('budget.macs', 'None'),
            ('augment.flip', 'true'),
            ('preprocess.mean', '(0.25,)'),
        ],
    )
    read = configs.read(short)
    assert (read.evolve.population, read.budget.params, read.budget.macs) == (60, 61500, None)
    assert read.augment.flip is True and read.preprocess.mean == (0.25,)


def test_every_config_has_every_family_and_is_sound():
    families = {configs.read(config_file.load(str(ROOT / name))).family for name in FILES}
    assert families == set(FAMILIES)
    # folder.py's keys are open until the images are seen: tests/test_preset.py
    assert {pathlib.Path(name.partition(':')[0]).name for name in FILES} | {'folder.py'} == {
        path.name for path in (ROOT / 'configs').glob('[!_]*.py')
    }


def test_every_key_is_documented():
    for name in FILES:
        read = configs.read(config_file.load(str(ROOT / name)))
        for key, field, _ in settings.keys(type(read), read):
            assert field.description, key
            assert settings.expected(field) not in ('a value', 'a group of keys'), key
        text = '\n'.join(configs.lines(read))
        assert f'config.supernet.lr = {read.supernet.lr!r}' in text


def test_the_page_of_all_keys_is_the_one_in_docs():
    text = '\n'.join(configs.page()) + '\n'
    assert text == (ROOT / 'docs' / 'config.md').read_text(), (
        'run: python -m s4jax.config > docs/config.md'
    )


def test_the_config_of_a_run_can_be_read_again():
    for name in FILES:
        read = configs.read(config_file.load(str(ROOT / name)))
        assert configs.read(json.loads(json.dumps(read.model_dump(mode='json')))) == read


def test_the_variants_of_the_encoder_are_those_of_the_tower():
    field = inputs_of(FAMILIES['clip']).Settings.model_fields['variant']
    assert set(field.annotation.__args__) == set(tower.VARIANTS)
