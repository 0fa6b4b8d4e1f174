"""Swin and Shunted against the published code: logits, counts, checkpoints; and whole runs of both."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import ORACLES, ROOT, TINY, command, interrupted, load, run

from s4jax.errors import UsageError
from s4jax.models import FAMILIES, shunted, swin
from s4jax.models.weights import shunted as shunted_importer
from s4jax.models.weights import swin as swin_importer
from s4jax.run import Job
from s4jax.runtime.signals import Signals
from s4jax.search.space import Dimension, SearchSpace

IMPORTERS = {'swin': swin_importer, 'shunted': shunted_importer}
FAMILY = pytest.mark.parametrize('name', IMPORTERS)
# the smoke runs in miniature: every stage, a few steps each
SHORT = {
    name: value for name, value in TINY.items() if 'depth' not in name and 'budget' not in name
}


def published(name):
    """(architecture, state dict, images, the oracle's file)."""
    oracle = np.load(ORACLES / f'{name}.npz')
    state = {
        key.removeprefix('param:'): oracle[key] for key in oracle.files if key.startswith('param:')
    }
    stages = {
        key: tuple(map(int, oracle[key]))
        for key in ('depths', 'num_heads', 'sr_ratios')
        if key in oracle.files
    }
    if name == 'swin':
        given = dict(embed_dim=24, window=4, mlp_ratio=(4.0,) * sum(stages['depths']))
    else:
        given = dict(
            embed_dim=16,
            stem_width=16,
            num_conv=int(oracle['num_conv']),
            mlp_ratio=tuple(map(float, oracle['mlp_ratio'])),
        )
    arch = FAMILIES[name].Architecture(image_size=64, classes=10, **given, **stages)
    return arch, state, oracle['images'].transpose(0, 2, 3, 1), oracle


@FAMILY
@pytest.mark.parametrize('x64, tolerance', [(False, 2e-5), (True, 1e-9)])
def test_logits_of_the_published_models(name, x64, tolerance):
    arch, state, images, oracle = published(name)
    with jax.enable_x64(x64), jax.default_matmul_precision('highest'):
        dtype = jnp.float64 if x64 else jnp.float32
        variables = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, dtype), IMPORTERS[name].variables(state, arch)
        )
        logits = jax.jit(FAMILIES[name].Model(arch, dtype).apply)(
            variables, jnp.asarray(images, dtype)
        )
    np.testing.assert_allclose(
        logits, oracle['logits_float64' if x64 else 'logits'], rtol=0, atol=tolerance
    )


@FAMILY
def test_counts_of_published_models(name):
    rows = json.loads((ORACLES / f'{name}_counts.json').read_text())
    assert len(rows) == 8
    for row in rows:
        arch = FAMILIES[name].Architecture.from_json(row)
        assert (FAMILIES[name].params(arch), FAMILIES[name].macs(arch)) == (
            row['params'],
            row['macs'],
        )


@pytest.mark.parametrize(
    'family, name, params',
    [
        # of the published code; the larger two Swins as timm counts its own
        (swin, 'swin_t', 28_288_354),
        (swin, 'swin_s', 49_606_258),
        (swin, 'swin_b', 87_768_224),
        (shunted, 'shunted_t', 11_553_576),
        (shunted, 'shunted_s', 22_401_256),
        (shunted, 'shunted_b', 39_614_376),
    ],
)
def test_stock_sizes(family, name, params):
    assert (
        family.params(family.Architecture(image_size=224, classes=1000, **family.STOCK[name]))
        == params
    )


@FAMILY
def test_counts_are_those_of_the_model(name):
    rng, family = np.random.default_rng(0), FAMILIES[name]
    for stages in (1, 2, 3, 4):
        depths = tuple(map(int, rng.integers(1, 3, stages)))
        own = (
            dict(patch=2, window=4, num_heads=(1, 2, 4, 4)[:stages])
            if name == 'swin'
            else dict(
                num_heads=(2, 2, 4, 4)[:stages],
                sr_ratios=(4, 2, 1, 1)[:stages],
                num_conv=stages - 1,
                stem_width=int(rng.integers(3, 9)),
            )
        )
        arch = family.Architecture(
            image_size=16,
            channels=int(rng.integers(1, 4)),
            classes=int(rng.integers(2, 9)),
            depths=depths,
            embed_dim=4 * int(rng.integers(1, 4)),
            mlp_ratio=tuple(map(float, rng.choice([1, 2.3, 3], sum(depths)))),
            **own,
        )
        shapes = jax.eval_shape(
            family.Model(arch).init, jax.random.key(0), jnp.zeros((1, 16, 16, arch.channels))
        )['params']
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == family.params(arch)


def test_newer_timm_names_give_the_same_weights():
    """timm merges at the beginning of a stage, not at the end of the one before, and calls the classifier head.fc."""
    arch, state, _, _ = published('swin')
    names = {
        name: name.replace('layers.0.downsample', 'layers.1.downsample').replace(
            'head.', 'head.fc.'
        )
        for name in state
    }
    timm = {names[name]: array for name, array in state.items()}
    assert set(timm) != set(state)
    jax.tree.map(
        np.testing.assert_array_equal,
        swin_importer.variables(timm, arch),
        swin_importer.variables({'model': state}, arch),
    )


@FAMILY
def test_state_dicts_that_do_not_fit_are_told(name):
    arch, state, _, _ = published(name)
    with pytest.raises(UsageError, match="the state dict has no 'head.weight'"):
        IMPORTERS[name].variables(
            {key: value for key, value in state.items() if key != 'head.weight'}, arch
        )
    with pytest.raises(
        UsageError, match=r"'head.weight' has the shape \(9, .*the architecture needs \(10, "
    ):
        IMPORTERS[name].variables(state | {'head.weight': state['head.weight'][:9]}, arch)


@pytest.mark.parametrize(
    'name, change, words',
    [
        (
            'swin',
            dict(image_size=32),
            r'image_size=32 does not go into patches of 4.* sizes that do: 224, 448, 672, 896, …',
        ),
        ('swin', dict(image_size=225), r'image_size=225 does not go .*sizes that do: 224'),
        ('swin', dict(embed_dim=82), 'makes a stage 82 wide, which num_heads=3 does not divide'),
        ('swin', dict(mlp_ratio=(4.0,) * 11), 'need as many num_heads'),
        (
            'shunted',
            dict(image_size=16),
            r'image_size=16 is too small for sr_ratios=\(8, 4, 2, 1\): at least 31',
        ),
        ('shunted', dict(embed_dim=37), 'makes a stage 37 wide, which num_heads=2 does not divide'),
        ('shunted', dict(num_heads=(1, 2, 4, 8)), 'must be even'),
        ('shunted', dict(stem_width=0), 'stem_width=0 must be positive'),
    ],
)
def test_architectures_that_cannot_be_are_told(name, change, words):
    family = FAMILIES[name]
    sizes = dict(image_size=224, classes=10) | next(iter(family.STOCK.values()))
    family.Architecture(**sizes)
    with pytest.raises(UsageError, match=words):
        family.Architecture(**sizes | change)


@FAMILY
def test_sizes_that_are_taken_are_those_that_the_model_can_run(name):
    """What is refused could not run: the model's own shapes are the judge."""
    family, stages = FAMILIES[name], dict(embed_dim=4, depths=(1, 1), mlp_ratio=(1.0, 1.0))
    own = (
        dict(patch=2, window=4, num_heads=(1, 1))
        if name == 'swin'
        else dict(num_heads=(2, 2), sr_ratios=(4, 2), stem_width=2)
    )
    taken = []
    for size in range(8, 20):
        try:
            arch = family.Architecture(image_size=size, classes=2, **stages, **own)
        except UsageError:
            continue
        taken.append(size)
        jax.eval_shape(family.Model(arch).init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
    assert taken == ([8, 16] if name == 'swin' else list(range(15, 20)))


@FAMILY
@pytest.mark.parametrize('variant', ['cifar100', 'smoke'])
def test_moves_keep_every_head_whole(name, variant):
    """Of a space whose values are sound, every value of every space within three moves is: `Architecture` would refuse it."""
    config, family = load(f'{ROOT}/configs/{name}.py:{variant}'), FAMILIES[name]
    space = SearchSpace(
        tuple(Dimension(key, **values) for key, values in config['space'].items()),
        family.stages(tuple(config['space'])),
    )
    widths = set()
    for gamma in itertools.product(range(-3, 4), repeat=len(space.dimensions)):
        if space.obstacle(gamma) is None:
            moved = space.moved(gamma)
            for dimension in moved.dimensions:
                for value in dimension.values:
                    arch = family.architecture(
                        moved.uniform('lower', {dimension.name: value}),
                        classes=10,
                        **config['model'],
                    )
                    assert all(
                        width % heads == 0 for width, heads in zip(arch.widths, arch.num_heads)
                    )
                    widths.add(arch.embed_dim)
    assert len(widths) > 4


def test_a_grid_that_would_break_heads_is_refused_at_the_start(tmp_path):
    config = load(f'{ROOT}/configs/swin.py:smoke')
    config['space']['embed_dim'] |= dict(lower=8, upper=13, step=5)
    config['model']['num_heads'] = (2, 4, 8)
    with pytest.raises(
        UsageError, match='embed_dim=13 makes a stage 13 wide, which num_heads=2 does not divide'
    ):
        Job.create(config, tmp_path / 'run', Signals())


def two_stages(folder, name, **model):
    """A config file: the smoke run without its third stage."""
    path = folder / f'{name}.py'
    path.write_text(f"""
import importlib.util
spec = importlib.util.spec_from_file_location('whole', {str(ROOT / 'configs' / name) + '.py'!r})
whole = importlib.util.module_from_spec(spec)
spec.loader.exec_module(whole)
def get_config():
    config = whole.get_config('smoke')
    del config.space.depth_3, config.baseline.depth_3
    config.model.update({model!r})
    return config
""")
    return path


@pytest.mark.slow
def test_a_swin_run_from_start_to_test_accuracy(tmp_path):
    path = two_stages(tmp_path, 'swin', num_heads=(1, 2))
    done = run(
        command(
            tmp_path / 'run',
            config=path,
            base=SHORT,
            explore__iterations=0,
            budget__params=15e3,
            baseline__mlp_ratio=1.0,
        )
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'run' / 'result.json').read_text())
    assert result['family'] == 'swin' and result['winner']['images'] == 400
    assert (
        'moved before training, to fit the budget: ' in done.stdout and 'depths [2, ' in done.stdout
    )


@pytest.mark.slow
def test_a_shunted_run_killed_and_resumed_reaches_test_accuracy_by_the_same_supernet(tmp_path):
    """Killed in the supernet's training: BatchNorm's statistics are part of the state."""
    given = dict(
        config=two_stages(tmp_path, 'shunted', num_heads=(2, 4), sr_ratios=(2, 1)),
        base=SHORT,
        explore__iterations=0,
        space__depth_2__upper=1,
        baseline__depth_2=1,
    )
    assert interrupted('stage:supernet_0:0.5:SIGKILL', tmp_path / 'run', **given).returncode == -9
    done = run(command(tmp_path / 'run', **given))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'run' / 'result.json').read_text())['winner']['images'] == 400
    assert interrupted('stage:evolve:0:SIGKILL', tmp_path / 'whole', **given).returncode == -9
    for name in (
        'stages/supernet_0.json',
        'metrics/supernet_0.jsonl',
    ):  # the stage holds the digest of all variables
        assert (tmp_path / 'run' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()
