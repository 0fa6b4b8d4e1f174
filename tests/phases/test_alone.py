"""Architectures trained alone by one program: as the program made for each would train them."""

import functools
import json

import jax
import numpy as np
import pytest
from runs import config

from s4jax import data as datasets
from s4jax import elastic
from s4jax.phases.alone import Alone, Trainer, train_alone
from s4jax.run import prepare
from s4jax.runtime import seeds
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.training import evaluate
from s4jax.training.step import make_step

SHORT = dict(
    retrain__epochs=1, retrain__warmup_epochs=0, data__test=1000, data__search=300,
    checkpoint__save_every=2, checkpoint__log_every=1,
)  # fmt: skip


@pytest.fixture
def place(tmp_path):
    with Signals() as signals:
        yield prepare(config(**SHORT), tmp_path / 'run', signals)


def architectures(task, count):
    rng = np.random.default_rng(0)
    return [task.architecture(task.space.sample(rng)) for _ in range(count)]


@pytest.mark.slow
def test_each_is_trained_as_by_a_program_of_its_own(place):
    """The masked subnet against the same weights, key and images with sizes that are fixed."""
    task, session = place
    widest = task.architecture(task.space.largest())
    (arch,) = architectures(task, 1)
    trainer, one = Trainer(task, session, widest), Alone(arch, 1)
    counted = trainer.train(one)

    text, purpose = json.dumps(arch.to_json()), functools.partial(seeds.key, task.seed, 'alone')
    state = jax.device_get(trainer.create(purpose(text, 1, 'init')))
    model, recipe = task.family.Model(widest), task.config.retrain
    tx = recipe.optimizer(len(task.data.train), task.family.decays)
    step = make_step(model, tx, task.augment, purpose(text, 1, 'train'), session.mesh)
    order = seeds.number(task.seed, 'alone', text, 1, 'order')
    batches = datasets.Batches(task.data.train, recipe.batch_size, order)
    sizes = elastic.fixed(task.family.sizes_of(arch))
    for i in range(recipe.steps(len(task.data.train))):
        state, _ = step(state, sizes, batches(i))
    variables = {'params': state['params']}
    count = evaluate.make_counter(
        model, functools.partial(task.inputs.evaluate, widest), False, session.mesh
    )
    expected = evaluate.correct(
        functools.partial(count, variables, sizes),
        task.search_batches(widest, session),
        session.signals,
    )
    assert abs(counted.correct - expected[0]) <= 1  # sums in another order
    assert counted.units == pytest.approx(expected[1], rel=1e-3)


@pytest.mark.slow
def test_what_is_known_is_not_trained_again_and_a_stop_loses_nothing(place, monkeypatch):
    task, session = place
    widest = task.architecture(task.space.largest())
    wanted = [Alone(arch, repeat) for arch in architectures(task, 2) for repeat in range(2)]
    session.workdir.mkdir()
    train, trained = Trainer.train, []

    def noted(self, alone):
        if len(trained) == 3 and not stopped:
            stopped.append(alone)
            raise Interrupted
        trained.append(alone)
        return train(self, alone)

    stopped = []
    monkeypatch.setattr(Trainer, 'train', noted)
    with pytest.raises(Interrupted):
        train_alone(task, session, 'ranks', widest, wanted)
    found = train_alone(task, session, 'ranks', widest, [*wanted, *wanted])
    assert trained == wanted and list(found) == wanted
    assert found == train_alone(task, session, 'ranks', widest, wanted)
    assert trained == wanted
    assert found[wanted[0]] != found[wanted[1]]  # a repeat has another seed
    assert not list((session.workdir / 'checkpoints').iterdir())
    monkeypatch.undo()
    (session.workdir / 'alone.jsonl').unlink()
    assert train_alone(task, session, 'ranks', widest, wanted[2:]) == {
        alone: found[alone] for alone in wanted[2:]
    }
