"""The values of the config."""

import dataclasses

from s4jax.report.reading import read
from s4jax.report.sections.settings import settings, values


def test_every_value_as_a_flag_spells_it():
    config = {'family': 'vit', 'space': {'depth': {'lower': 2}}, 'encoder': {}, 'mean': [0.3]}
    assert list(values('', config)) == [
        'family = "vit"',
        'space.depth.lower = 2',
        'encoder = {}',
        'mean = [0.3]',
    ]


def test_the_number_of_values_and_the_digest_of_the_data(workdir, parsed):
    run = dataclasses.replace(read(workdir), config={'family': 'vit', 'seed': 0})
    words = str(parsed(settings(run)))
    assert 'All 3 values' in words and f'data.digest = "{"0f" * 16}"' in words
