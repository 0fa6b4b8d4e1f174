"""A finished run directory, made by the explorer and the evolution themselves, without a model."""

import hashlib
import html.parser
import json

import numpy as np
import pytest

from s4jax import report
from s4jax.models import vit
from s4jax.report.result import Model, Result, Spent
from s4jax.runtime.files import Lines, read_json, write_json, write_text
from s4jax.search import evolve, explore
from s4jax.search.budget import Budget
from s4jax.search.evolve import EvolveSettings
from s4jax.search.explore import ExploreSettings, Visited
from s4jax.search.space import Dimension, SearchSpace
from s4jax.search.start import start

INPUTS = dict(image_size=8, channels=1, patch=2, head_dim=8, classes=10)
SPACE = dict(
    embed_dim=dict(lower=16, upper=32, step=8),
    depth=dict(lower=2, upper=4, step=1),
    num_heads=dict(lower=2, upper=4, step=1, per_block=True),
    mlp_ratio=dict(lower=2.0, upper=4.0, step=1.0, per_block=True),
)
EVOLUTION = EvolveSettings(population=12, generations=5, parents=4, mutations=6, crossovers=3)
EXPLORATION = ExploreSettings(iterations=2, pairs=20, units='tau')
SEARCH, TEST = 400, 360
DATA = {
    'name': 'digits',
    'classes': 10,
    'digest': '0f' * 16,
    'train': 997,
    'search': SEARCH,
    'test': TEST,
}


def architecture(choices):
    return vit.architecture(choices, **INPUTS)


def cost(arch):
    return {'params': vit.params(arch), 'macs': vit.macs(arch)}


def size(space):
    return cost(architecture(space.largest()))


def score(architectures):
    """A smooth landscape with some noise of its own for each architecture, in whole images."""

    def one(arch):
        value = (
            0.975
            - 0.9 / arch.embed_dim
            - 0.3 * 0.6**arch.depth
            - 0.05 / np.mean(arch.num_heads)
            - 0.03 / np.mean(arch.mlp_ratio)
        )
        digest = hashlib.blake2b(repr(arch).encode(), digest_size=4).hexdigest()
        noise = int(digest, 16) / 2**32 - 0.5
        return round(SEARCH * (value + 0.02 * noise)) / SEARCH

    return np.array([one(arch) for arch in architectures])


def journaled(workdir, t):
    """`score` with the supernet of space t, which writes down what it scores, as the pipeline's."""
    journal, digest = Lines(workdir / 'journal.jsonl'), f'digest {t}'
    known = {json.dumps(r['architecture']) for r in journal.rows if r['supernet'] == digest}
    write_json(workdir / f'phases/supernet_{t}.json', {'digest': digest})

    def scored(architectures):
        accuracies = score(architectures)
        for arch, accuracy in zip(architectures, accuracies):
            row = arch.to_json()
            if json.dumps(row) not in known:
                known.add(json.dumps(row))
                correct = round(SEARCH * accuracy)
                journal.append({'supernet': digest, 'architecture': row, 'correct': correct})
        return accuracies

    return scored


def write_losses(workdir, name, rng, steps=400):
    rows = 0.5 + 1.8 * np.exp(-np.arange(1, steps + 1) / 100) + rng.normal(0, 0.08, steps)
    lines = (
        json.dumps({'step': k, 'loss': float(loss), 'attempt': 0}) for k, loss in enumerate(rows, 1)
    )
    write_text(workdir / 'metrics' / f'{name}.jsonl', '\n'.join(lines) + '\n')


def make_run(workdir, limits):
    """A run directory as the pipeline leaves it; returns the result and the summary."""
    rng, budget = np.random.default_rng(0), Budget(tuple(limits.items()))
    given = SearchSpace(
        tuple(Dimension(key, **values) for key, values in SPACE.items()), vit.stages(tuple(SPACE))
    )
    config = {
        'family': 'vit',
        'seed': 0,
        'space': SPACE,
        'budget': limits | {'latency_ms': None},
        'data': {'name': 'digits'},
        'explore': EXPLORATION.model_dump(),
        'evolve': EVOLUTION.model_dump(),
        'preprocess': {'mean': [0.3]},
    }
    write_json(workdir / 'config.json', {'config': config, 'data': DATA, 'identity': {}})
    space, moved = start(given, budget, size, 'project')
    trajectory = [Visited(space, size(space), moved)]
    write_losses(workdir, 'supernet_0', rng)
    for t in range(EXPLORATION.iterations):
        scored = journaled(workdir, t)
        step = explore.step(space, budget, size, scored, architecture, rng, EXPLORATION)
        write_json(workdir / 'phases' / f'explore_{t}.json', step.to_json())
        if step.space is None:
            break
        space = step.space
        trajectory.append(Visited(space, size(space), step.gamma, step.cosine, step.slopes))
        write_losses(workdir, f'supernet_{t + 1}', rng)
    scored = journaled(workdir, len(trajectory) - 1)
    found = evolve.evolve(space, budget, cost, scored, architecture, rng, EVOLUTION)
    write_json(workdir / 'phases' / 'evolve.json', found.to_json())
    times = [{'phase': name, 'seconds': 61.5, 'images': 1230} for name in ('explore_0', 'evolve')]
    session = {'command': 'python -m s4jax.main --config=configs/digits.py', 'devices': '1 × cpu'}
    write_text(workdir / 'timing.jsonl', ''.join(json.dumps(r) + '\n' for r in [session, *times]))
    hand_made = architecture(dict(embed_dim=24, depth=3, num_heads=(3,) * 3, mlp_ratio=(3,) * 3))
    tested = {}
    for phase, arch, correct in (
        ('retrain', found.best.architecture, 345),
        ('baseline', hand_made, 341),
    ):
        write_losses(workdir, phase, rng)
        tested[phase] = Model(arch.to_json(), cost(arch), correct, TEST)
    result = Result(
        family='vit',
        data=DATA,
        budget=budget,
        seed=0,
        encoder=None,
        trajectory=tuple(trajectory),
        winner=tested['retrain'],
        baseline=tested['baseline'],
        search_accuracy=found.best.accuracy,
        choices=found.best.choices,
        references={},
        evolution=found.stopped,
        method='s4',
        backtracks=None,
        spaces={},
        spent=Spent(9_000, 0.0, 48_000, 0.0),
    )
    return result, report.finish(workdir, result)


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
    """(workdir, result, summary) of a finished run."""
    workdir = tmp_path_factory.mktemp('run')
    return workdir, *make_run(workdir, {'params': 60e3, 'macs': 1.2e6})


@pytest.fixture
def workdir(finished):
    return finished[0]


@pytest.fixture
def result(finished):
    return finished[1]


@pytest.fixture
def steps(workdir):
    """The exploration steps as JSON."""
    return [read_json(path) for path in sorted((workdir / 'phases').glob('explore_*.json'))]


class Words(html.parser.HTMLParser):
    """The text of a page; raises where an element is not closed in its order."""

    EMPTY = ('meta', '!doctype')

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ['style']:
            self.words.append(data)

    def __str__(self):
        return ''.join(self.words)


@pytest.fixture(scope='session')
def parsed():
    """Markup as `Words`: str() of them is the text, `attributes` are (element, name, value)."""
    return Words


@pytest.fixture
def words(workdir):
    """The text of the finished run's page."""
    return str(Words((workdir / 'report.html').read_text()))
