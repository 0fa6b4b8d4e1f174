"""One process prepares, the other waits; a folder that cannot be written is one clear line."""

import subprocess
import sys

import pytest
from folders import load
from runs import ROOT

from s4jax.errors import UsageError


def test_two_processes_at_once(folder):
    arguments = [
        sys.executable,
        '-m',
        's4jax.data',
        'prepare',
        '--name=folder',
        f'--root={folder}',
        '--storage-size=16',
    ]
    both = [
        subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    first, second = (out for out, _ in outputs)
    assert first == second and load(folder).prepared.digest in first
    assert sum('preparing' in err for _, err in outputs) == 1


def test_a_data_directory_that_cannot_be_written_is_refused(folder, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', '/proc/nowhere')
    with pytest.raises(UsageError, match='/proc/nowhere.*TFDS_DATA_DIR'):
        load(folder)
