"""A family that a user adds: one file, one line in the dict of families, and all else works."""

import ast
import json
import pathlib

import convnet
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import TINY, config

from s4jax import count, pipeline
from s4jax.models import FAMILIES
from s4jax.runtime.signals import Signals
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training.sampling import sizes_maker

SPACE = dict(
    embed_dim=dict(lower=8, upper=16, step=4),
    depth=dict(lower=1, upper=2, step=1),
    expansion=dict(lower=1.0, upper=2.0, step=0.5, per_block=True),
)


@pytest.fixture(autouse=True)
def added(monkeypatch):
    monkeypatch.setitem(FAMILIES, 'convnet', convnet)


@pytest.mark.slow
def test_it_is_searched_from_start_to_test_accuracy(tmp_path, capsys):
    changes = {
        name.replace('.', '__'): value for name, value in TINY.items() if 'depth' not in name
    }
    settings = config(
        **changes
        | dict(
            family='convnet',
            model=dict(image_size=8, channels=1, patch=2),
            space=SPACE,
            budget=dict(params=9e3),
            baseline=dict(embed_dim=16, depth=1, expansion=2.0),
        )
    )
    summary = pipeline.run(settings, tmp_path / 'run', Signals())
    assert 'winner     test accuracy' in summary and 'expansion [' in summary
    row = json.loads((tmp_path / 'run' / 'architecture.json').read_text())
    assert count.count(row) == {'params': row['params'], 'macs': row['macs']}
    assert row['params'] <= 9e3 and (tmp_path / 'run' / 'report.html').exists()


def test_its_subnets_are_prefixes_however_they_are_run():
    space = SearchSpace(
        tuple(Dimension(name, **values) for name, values in SPACE.items()),
        convnet.stages(tuple(SPACE)),
    )

    def architecture(choices):
        return convnet.architecture(choices, image_size=8, channels=1, classes=3)

    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 8, 8, 1)).astype(np.float32)
    model = convnet.Model(architecture(space.largest()))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    variables = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == convnet.params(model.arch)
    apply, choices = jax.jit(model.apply), space.sample(rng)
    masked, sliced = (
        apply(variables, images, sizes_maker(space, architecture, convnet.sizes_of, form)(choices))
        for form in ('masked', 'sliced')
    )
    np.testing.assert_allclose(masked, sliced, rtol=1e-4, atol=1e-4)
    assert choices != space.largest() and not np.allclose(masked, apply(variables, images))


def test_no_code_asks_for_a_family_by_name():
    """The literal dict of families is the one place that names them."""
    package = pathlib.Path(pipeline.__file__).parent
    for path in package.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            assert not {c.value for c in compared if isinstance(c, ast.Constant)} & set(FAMILIES), (
                path
            )
