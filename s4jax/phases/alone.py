"""Architectures trained alone, all by one compiled program: what a supernet is held against.

Each runs as a masked subnet of a model that is as wide and deep as the widest of them. Nothing is
shared: every training has weights, order of images and augmentation of its own.
"""

import functools
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s4jax import data as datasets
from s4jax import elastic
from s4jax.run import Task
from s4jax.runtime import mesh as meshes
from s4jax.runtime import seeds
from s4jax.runtime.files import Lines
from s4jax.runtime.session import Session
from s4jax.search.space import Architecture
from s4jax.training import evaluate
from s4jax.training.fit import Steps, fit
from s4jax.training.monitor import Monitor
from s4jax.training.step import make_step, state_program


class Counted(NamedTuple):
    """Of the search split: the correct images, and the sum of log-likelihoods in 1 / NAT."""

    correct: int
    units: int


class Alone(NamedTuple):
    """An architecture and the number of its training, from 0: each repeat has its own seed."""

    architecture: Architecture
    repeat: int


def train_alone(
    task: Task, session: Session, name: str, widest: Architecture, wanted: Iterable[Alone]
) -> Mapping[Alone, Counted]:
    """Trains each alone on the train split by `config.retrain`, counts on the search split.

    It is the phase `name` of the line of progress. `widest` is at least as large as every
    architecture in every size. A finished training is kept in `alone.jsonl`, one under way in a
    checkpoint, so that a run that was stopped goes on.
    """
    wanted = list(dict.fromkeys(wanted))
    journal = Lines(session.workdir / 'alone.jsonl')
    known = {
        (json.dumps(row['architecture']), row['repeat']): Counted(row['correct'], row['units'])
        for row in journal.rows
    }
    missing = [alone for alone in wanted if _key(alone) not in known]
    if missing:
        recipe = task.config.retrain
        images = recipe.steps(len(task.data.train)) * recipe.batch_size
        session.progress.plan[name] = len(wanted) * images
        with session.progress.phase(name):
            trainer = Trainer(task, session, widest)
            session.progress.resume((len(wanted) - len(missing)) * images)
            for done, alone in enumerate(missing, start=len(wanted) - len(missing) + 1):
                counted = known[_key(alone)] = trainer.train(alone)
                journal.append(
                    {
                        'architecture': alone.architecture.to_json(),
                        'repeat': alone.repeat,
                        **counted._asdict(),
                    }
                )
                trainer.forget(alone)
                session.progress.advance(done * images)
    return {alone: known[_key(alone)] for alone in wanted}


def _key(alone: Alone) -> tuple[str, int]:
    return json.dumps(alone.architecture.to_json()), alone.repeat


class Trainer:
    """Trains and counts one architecture after the other; both programs are compiled once."""

    def __init__(self, task: Task, session: Session, widest: Architecture):
        self.task, self.session, self.widest = task, session, task.family.sizes_of(widest)
        self.recipe, self.split = task.config.retrain, task.data.train
        model = task.family.Model(widest, jnp.dtype(task.config.dtype), self.recipe.drop_path)
        tx = self.recipe.optimizer(len(self.split), task.family.decays)
        self.create = state_program(model, task.inputs.example(widest), tx)
        encode = functools.partial(task.inputs.train, widest)
        self.step = make_step(
            model,
            tx,
            task.augment,
            seeds.key(task.seed),
            session.mesh,
            encode,
            task.inputs.variables,
            self.recipe,
        )
        inputs = functools.partial(task.inputs.evaluate, widest)
        self.count = evaluate.make_counter(model, inputs, False, session.mesh)
        self.batches = task.search_batches(widest, session)

    def train(self, alone: Alone) -> Counted:
        """One training from its start, or from its checkpoint, to its counts."""
        text, repeat = _key(alone)
        key = functools.partial(seeds.key, self.task.seed, 'alone', text, repeat)
        sizes = elastic.masked(self.task.family.sizes_of(alone.architecture), self.widest)
        steps = Steps(
            self.recipe.steps(len(self.split)),
            self.step.with_key(key('train')),
            lambda *_: sizes,
            datasets.Batches(
                self.split,
                self.recipe.batch_size,
                seeds.number(self.task.seed, 'alone', text, repeat, 'order'),
            ),
            lambda *_: f'architecture {alone.architecture}',
            self.recipe.sharding,
        )
        state, name, session = jax.device_get(self.create(key('init'))), _name(alone), self.session
        monitor = Monitor(session.workdir, name, session.progress, self.recipe.batch_size)
        variables = fit(state, steps, name, session, self.task.config.checkpoint, monitor)
        counted = functools.partial(self.count, variables, sizes)
        correct, units = np.asarray(evaluate.correct(counted, self.batches, session.signals))
        return Counted(int(correct), int(units))

    def forget(self, alone: Alone) -> None:
        """Removes the checkpoint and the losses of a training whose counts are kept."""
        if meshes.is_first_host():
            workdir, name = self.session.workdir, _name(alone)
            shutil.rmtree(workdir / 'checkpoints' / name, ignore_errors=True)
            (workdir / 'metrics' / f'{name}.jsonl').unlink(missing_ok=True)


def _name(alone: Alone) -> str:
    text, repeat = _key(alone)
    return f'alone_{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}_{repeat}'
