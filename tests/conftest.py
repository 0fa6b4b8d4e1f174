"""Oracles, and a digits run small enough to be made many times."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

# compiled with less care: the programs of the tests run for seconds, and compiling them is what the tests wait for
LESS_CARE = '--xla_backend_optimization_level=0'
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {LESS_CARE}'.strip()

ROOT = pathlib.Path(__file__).parents[1]
ORACLES = pathlib.Path(__file__).parent / 'oracles'
TINY = {      # the demo in miniature: every stage, a handful of steps each
    'supernet.epochs': 1, 'retrain.epochs': 1, 'supernet.warmup_epochs': 0.5, 'retrain.warmup_epochs': 0.5,
    'explore.iterations': 1, 'explore.pairs': 3, 'evolve.population': 6, 'evolve.generations': 2, 'evolve.parents': 3,
    'evolve.mutations': 2, 'evolve.crossovers': 1, 'evaluate.architectures': 8, 'checkpoint.save_every': 4,
    'checkpoint.log_every': 2, 'space.depth.lower': 1, 'space.depth.upper': 2, 'baseline.depth': 2, 'budget.params': 32e3,
}


@pytest.fixture(scope='session', autouse=True)
def compiled_programs(tmp_path_factory):
    """One cache of compiled programs for the tests of a session and the processes that they start."""
    os.environ['JAX_COMPILATION_CACHE_DIR'] = str(tmp_path_factory.mktemp('compiled'))
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'


@pytest.fixture(scope='session')
def autoformer():
    return np.load(ORACLES / 'autoformer.npz')


@pytest.fixture(scope='session')
def vit_rows():
    return json.loads((ORACLES / 'vit_counts.json').read_text())


def command(workdir, config='configs/digits.py', base=TINY, **overrides):
    """The command line of a tiny run; `overrides` are keys of the config with dots as double underscores."""
    values = base | {name.replace('__', '.'): value for name, value in overrides.items()}
    return [sys.executable, '-m', 's4jax.main', f'--config={config}', f'--workdir={workdir}',
            *(f'--config.{name}={value}' for name, value in values.items())]


def run(arguments, timeout=900, **environment):
    return subprocess.run(arguments, cwd=ROOT, env=os.environ | environment, timeout=timeout, capture_output=True, text=True)


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory):
    """(workdir, output) of a tiny run that was never interrupted."""
    workdir = tmp_path_factory.mktemp('tiny') / 'run'
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout
