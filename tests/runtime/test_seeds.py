"""Seeds: a function of seed and purpose, the same in every process, different for every part."""

import itertools
import subprocess
import sys

import jax
import numpy as np

from s4jax.runtime import seeds

PURPOSES = [(0, 'a'), (1, 'a'), (0, 'b'), (0, 'a', 1), (0, 'a', 2), (0, 'a', 1, 1), (0, 'a', 2, 1)]
CODE = "from s4jax.runtime import seeds; print(seeds.number(3, 'supernet_0', 7))"


def test_every_part_of_a_purpose_counts():
    hosts = [seeds.generator(*purpose).random(4) for purpose in PURPOSES]
    devices = [np.asarray(jax.random.uniform(seeds.key(*p), (4,))) for p in PURPOSES]
    for drawn in (hosts, devices):
        for one, other in itertools.combinations(drawn, 2):
            assert not np.any(one == other)
    for purpose, first in zip(PURPOSES, hosts):
        np.testing.assert_array_equal(seeds.generator(*purpose).random(4), first)


def test_numbers_are_the_same_in_another_process_with_another_hash_seed():
    numbers = {
        subprocess.run(
            [sys.executable, '-c', CODE],
            capture_output=True,
            text=True,
            env={'PYTHONHASHSEED': seed, 'PATH': '', 'JAX_PLATFORMS': 'cpu'},
        ).stdout
        for seed in ('1', '2')
    }
    assert numbers == {f'{seeds.number(3, "supernet_0", 7)}\n'}
