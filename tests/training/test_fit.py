"""`fit`: what it computes, that it goes on exactly, and what it does after a non-finite loss."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4jax import elastic
from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.runtime import mesh, seeds
from s4jax.runtime.checkpoints import Checkpoints, tree_digest
from s4jax.runtime.progress import Progress
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.training.fit import CheckpointSettings, Steps, fit
from s4jax.training.monitor import Monitor
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
RECIPE = Recipe(epochs=4, batch_size=6, lr=1e-2, weight_decay=0.1)


class Quiet(Progress):
    """Keeps warnings and prints nothing."""

    def __init__(self, workdir):
        super().__init__(workdir, {}, shown=False)
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


class Fits:
    """Fits of one tiny model on fixed batches, sharing a compiled step."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = rng.normal(size=(40, 6, 4, 4, 1)).astype(np.float32)
        self.labels = rng.integers(3, size=(40, 6))
        self.images += self.labels[..., None, None, None]  # there is something to learn
        self.mesh, self.tx, self.model = (
            mesh.create(),
            RECIPE.optimizer(60, vit.decays),
            vit.Model(ARCH),
        )
        self.step = make_step(self.model, self.tx, self.augment, seeds.key(0, 'fit'), self.mesh)
        self.state = initial_state(
            self.model, jnp.zeros((1, 4, 4, 1)), self.tx, seeds.key(0, 'init')
        )
        self.signals, self.warnings = Signals(), []

    @staticmethod
    def augment(key, batch):
        images = batch['images'] + 0.01 * jax.random.normal(key, batch['images'].shape)
        return images, jax.nn.one_hot(batch['labels'], 3)

    def batch(self, i):
        return {'images': self.images[i % 40], 'labels': self.labels[i % 40]}

    def __call__(self, directory, count=40, batch=None, save_every=10, max_rollbacks=3):
        progress = Quiet(directory)
        session = Session(directory, self.mesh, self.signals, progress)
        steps = Steps(
            count,
            self.step,
            lambda attempt, i: SIZES,
            batch or self.batch,
            lambda attempt, i: 'architecture tiny',
        )
        settings = CheckpointSettings(save_every=save_every, log_every=5)
        monitor = Monitor(directory, 'one', progress, 6)
        try:
            return fit(self.state, steps, 'one', session, settings, monitor, max_rollbacks)
        finally:
            self.warnings += progress.warnings


@pytest.fixture(scope='module')
def fits():
    return Fits()


def losses(directory):
    return [
        json.loads(line)['loss']
        for line in (directory / 'metrics' / 'one.jsonl').read_text().splitlines()
    ]


def params_of(state):
    return jax.tree.map(np.array, state)


def test_an_interrupted_fit_ends_as_one_that_was_not(fits, tmp_path):
    whole = fits(tmp_path / 'whole')
    for step in (7, 8, 23):  # stopped by a signal at odd moments, then gone on with

        def stopping(i, step=step):
            if i == step:
                fits.signals.received = 15
            return fits.batch(i)

        with pytest.raises(Interrupted):
            fits(tmp_path / 'parts', batch=stopping)
        fits.signals.received = None
    parts = fits(tmp_path / 'parts')
    assert tree_digest(parts) == tree_digest(whole)
    assert (tmp_path / 'parts/metrics/one.jsonl').read_bytes() == (
        tmp_path / 'whole/metrics/one.jsonl'
    ).read_bytes()
    values = losses(tmp_path / 'whole')
    assert len(values) == 40 and np.mean(values[-5:]) < np.mean(values[:5])


def test_a_non_finite_loss_rolls_back_and_draws_anew(fits, tmp_path):
    """Batch 17 is bad the first time: the update is never made, and the training ends by itself."""
    met = []

    def batch(i):
        values = fits.batch(i)
        if i == 17 and len(met) < 1:
            met.append(i)
            values['images'] = values['images'] * np.inf
        return values

    fits.warnings.clear()
    done = fits(tmp_path, batch=batch)
    assert fits.warnings == [
        'non-finite loss at step 17 (batch 17, architecture tiny); back to step 10'
    ]
    assert np.all(
        np.isfinite(jax.tree.leaves(jax.tree.map(lambda leaf: np.isfinite(leaf).all(), done)))
    )
    rows = [
        json.loads(line) for line in (tmp_path / 'metrics' / 'one.jsonl').read_text().splitlines()
    ]
    assert [row['step'] for row in rows] == list(range(1, 41)) and np.all(
        np.isfinite(losses(tmp_path))
    )
    assert [row['attempt'] for row in rows] == [0] * 10 + [1] * 30
    assert losses(tmp_path)[10:] != losses_without_fault(fits, tmp_path)[10:]


def losses_without_fault(fits, tmp_path):
    fits(tmp_path / 'sound')
    return losses(tmp_path / 'sound')


def test_a_loss_that_stays_non_finite_ends_with_the_reason_and_the_update_not_made(fits, tmp_path):
    def batch(i):
        return fits.batch(i) | ({'images': fits.images[0] * np.nan} if i == 12 else {})

    with pytest.raises(
        UsageError,
        match=r'step 12 \(batch 12, architecture tiny\), again after 3 roll-backs',
    ):
        fits(tmp_path, batch=batch)
    step, state = Checkpoints(tmp_path / 'checkpoints' / 'one', print).latest(
        jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
            mesh.replicate(fits.mesh, params_of(fits.state)),
        )
    )
    assert step == 10 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
