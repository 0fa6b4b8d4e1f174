"""Oracles, and a digits run small enough to be made many times."""

import json
import os

import numpy as np
import pytest
from runs import LESS_CARE, ORACLES, command, run

os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {LESS_CARE}'.strip()


def pytest_collection_modifyitems(items):
    """The files with whole runs come first, so that no process is left alone with a long one."""
    long = {item.path for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope='session', autouse=True)
def compiled_programs(tmp_path_factory):
    """One cache of compiled programs for the tests of a session and for their processes."""
    os.environ['JAX_COMPILATION_CACHE_DIR'] = str(tmp_path_factory.mktemp('compiled'))
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'


@pytest.fixture(scope='session')
def autoformer():
    return np.load(ORACLES / 'autoformer.npz')


@pytest.fixture(scope='session')
def vit_rows():
    return json.loads((ORACLES / 'vit_counts.json').read_text())


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory):
    """(workdir, output) of a tiny run that was never interrupted."""
    workdir = tmp_path_factory.mktemp('tiny') / 'run'
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout
