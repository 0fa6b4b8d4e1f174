"""Recipes: the schedule against the learning rates that Adam's steps show, and bad values."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from s4jax.errors import UsageError
from s4jax.settings import read
from s4jax.training.recipe import Recipe, SupernetSettings


@pytest.mark.parametrize(
    'wrong, words',
    [
        (dict(epochs=0), 'config.retrain.epochs=0 must be a whole number from 1 to 100,000'),
        (dict(lr=-1.0), 'config.retrain.lr=-1.0 must be a number above 0 and at most 10'),
        (dict(min_lr=1.0), 'config.retrain: min_lr=1.0 exceeds lr=0.01: lower min_lr'),
        (dict(warmup_epochs=9.0), 'config.retrain: warmup_epochs=9.0 exceeds epochs=4'),
        (dict(drop_path=1.0), 'config.retrain.drop_path=1.0 must be a number at least 0 and below'),
        (dict(batch_size=0), 'config.retrain.batch_size=0 must be a whole number'),
        (dict(lr=float('nan')), 'config.retrain.lr=nan must be a number'),
        (dict(execution='sliced'), 'config.retrain.execution is unknown'),
    ],
)
def test_bad_recipes(wrong, words):
    with pytest.raises(UsageError) as error:
        read(Recipe, dict(epochs=4, batch_size=6, lr=1e-2) | wrong, 'config.retrain')
    assert words in str(error.value)


def test_a_supernet_has_a_recipe_and_says_how_its_subnets_run():
    settings = SupernetSettings(epochs=2, batch_size=4)
    assert settings.steps(100) == 50 and (settings.execution, settings.start) == ('auto', 'scratch')


def test_the_schedule_rises_and_falls():
    """With a constant gradient a step of Adam is the learning rate."""
    recipe = Recipe(epochs=10, batch_size=10, lr=1e-3, min_lr=1e-5, warmup_epochs=2.0)
    tx = recipe.optimizer(100, lambda path: False)
    params = {'kernel': jnp.zeros(())}
    state, taken = tx.init(params), []
    for _ in range(100):
        updates, state = tx.update({'kernel': jnp.ones(())}, state, params)
        taken.append(-float(updates['kernel']))
    assert np.argmax(taken) == 20 and abs(max(taken) - 1e-3) < 1e-8
    assert taken[-1] < 1.2e-5 and taken[0] < 2e-6
    published = optax.warmup_cosine_decay_schedule(1e-6, 1e-3, 20, 100, 1e-5)
    assert published(60) == pytest.approx(taken[60], rel=1e-4)


def test_no_step_is_lost_to_rounding():
    assert [Recipe(epochs=3, batch_size=8).steps(images) for images in (1, 8, 9, 100)] == [
        *(1, 3, 3, 37)
    ]
