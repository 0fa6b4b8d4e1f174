"""CLIP's names: every publisher's become the same variables."""

import jax
import numpy as np
import pytest
from clip_weights import ARCH, CONFIG, load_oracle, openai, whole

from s4jax.models.weights import clip_names


@pytest.fixture(scope='module')
def state():
    return load_oracle()[1]


@pytest.mark.parametrize('naming', [whole, openai])
def test_all_names_give_the_same_variables(state, naming):
    given = naming(state)
    chosen = {name: given[name] for name in clip_names.vision_names(given)}
    settings = CONFIG['vision_config']
    arch, variables = clip_names.vision_tower(clip_names.renamed(chosen), settings)
    reference = clip_names.vision_tower(state, settings)
    assert arch == reference[0] == ARCH
    jax.tree.map(np.testing.assert_array_equal, variables, reference[1])


def test_the_names_of_the_tower_alone(state):
    assert clip_names.vision_names(state) == list(state)
    assert clip_names.depth(state) == 3 and clip_names.depth([]) == 0
    assert clip_names.vision_tower(state | {}, {})[0].heads == 1  # 64 wide without settings
