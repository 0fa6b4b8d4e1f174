"""The ranges of architectures' fields: nothing absurd, one line, values as they were given."""

import dataclasses
import json
import typing

import pytest

from s4jax.errors import UsageError
from s4jax.models import FAMILIES
from s4jax.settings import section_of

ROWS = {
    'vit': dict(embed_dim=64, depth=2, num_heads=(1, 2), mlp_ratio=(4, 3.5)),
    'clip': dict(embed_dim=60, depth=2, num_heads=(1, 2), mlp_ratio=(4, 3.5)),
    'swin': dict(embed_dim=96, depths=(1, 1, 1, 1), mlp_ratio=(4, 3.5, 4, 4)),
    'shunted': dict(embed_dim=64, depths=(1, 1, 1, 1), mlp_ratio=(4, 3.5, 4, 4)),
}
ABSURD = (-1, 1e9, float('nan'), float('inf'), 'many', None, True)


@pytest.mark.parametrize('name', ROWS)
def test_every_field_refuses_what_is_absurd(name):
    cls, row = FAMILIES[name].Architecture, dict(image_size=224, classes=10) | ROWS[name]
    cls(**row)
    for field in dataclasses.fields(cls):
        for value in ABSURD:
            for given in (value, (value,) * 4):
                with pytest.raises(UsageError, match=rf'^architecture\.{field.name}=') as error:
                    cls(**row | {field.name: given})
                assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ROWS)
def test_every_field_says_what_it_means(name):
    for key, field in section_of(FAMILIES[name].Architecture).model_fields.items():
        assert field.description, key
    hints = typing.get_type_hints(FAMILIES[name].architecture, include_extras=True)
    for key in FAMILIES[name].architecture.__kwdefaults__ or ():
        assert any(getattr(each, 'description', '') for each in hints[key].__metadata__)


@pytest.mark.parametrize('name', ROWS)
def test_values_stay_as_they_were_given(name):
    """A ratio of 4 is not written as 4.0: files of a run are the same to the byte."""
    cls, row = FAMILIES[name].Architecture, dict(image_size=224, classes=10) | ROWS[name]
    arch = cls(**row)
    assert json.dumps(arch.to_json()['mlp_ratio']) == json.dumps(row['mlp_ratio'])
    assert cls.from_json(json.loads(json.dumps(arch.to_json()))) == arch


@pytest.mark.parametrize('name', ROWS)
def test_an_mlp_without_channels_is_refused(name):
    cls, row = FAMILIES[name].Architecture, dict(image_size=224, classes=10) | ROWS[name]
    ratios = (*row['mlp_ratio'][:-1], 1e-4)
    with pytest.raises(UsageError, match='mlp_ratio=0.0001 leaves an MLP without a hidden channel'):
        cls(**row | {'mlp_ratio': ratios})
