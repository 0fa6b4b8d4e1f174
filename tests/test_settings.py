"""Sections: what text becomes, what is refused, and how the one line reads."""

import dataclasses
import math
from typing import Annotated, Literal

import pydantic
import pytest
from pydantic import Field

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.settings import Bool, Float, Floats, Int, Number, Section


class Inner(Section):
    """A section."""

    count: Int = Field(ge=1, le=10**6, description='how many')
    rate: Float = Field(0.5, gt=0, lt=1, description='how fast')
    levels: Floats = Field((0.5,), description='levels of grey')
    flag: Bool = Field(True, description='whether')
    kind: Literal['a', 'b'] = Field('a', description='which')
    most: Float | None = Field(None, gt=0, description='limit')
    name: str = Field('x', description='called')

    @pydantic.model_validator(mode='after')
    def _consistent(self):
        if self.count == 7 and self.kind == 'b':
            raise UsageError("count=7 contradicts kind='b': write another count")
        return self


class Outer(Section):
    """A section that holds one."""

    inner: Inner = Field(description='the inner section')


@pytest.mark.parametrize(
    'text, number',
    [
        ('60k', 60_000),
        ('25M', 25_000_000),
        ('5G', 5e9),
        ('1.5k', 1500),
        ('5e-4', 5e-4),
        ('1_000', 1000),
    ],
)
def test_numbers_as_people_write_them(text, number):
    class One(Section):
        value: Number

    read = settings.read(One, {'value': text}, '')
    assert read.value == number and isinstance(read.value, int) == (number == int(number))


def test_texts_become_what_the_field_is():
    read = settings.read(
        Inner,
        dict(count='3k', rate='.25', levels='(0.1, 0.2)', flag='False', most='2', name='5'),
        'c',
    )
    assert read == Inner(count=3000, rate=0.25, levels=(0.1, 0.2), flag=False, most=2.0, name='5')


@pytest.mark.parametrize(
    'values, line',
    [
        ({}, 'c.inner is missing: the inner section; write a group of keys'),
        ({'inner': 3}, 'c.inner=3 must be a group of keys, such as c.inner.NAME=VALUE'),
        (
            {'inner': {}},
            'c.inner.count is missing: how many; write a whole number from 1 to 1,000,000',
        ),
        (
            {'inner': {'count': 0}},
            'c.inner.count=0 must be a whole number from 1 to 1,000,000 (how many)',
        ),
        (
            {'inner': {'count': 1, 'rate': math.nan}},
            'c.inner.rate=nan must be a number above 0 and below 1 (how fast); '
            'write for example 0.5',
        ),
        (
            {'inner': {'count': True}},
            'c.inner.count=True must be a whole number from 1 to 1,000,000 (how many)',
        ),
        (
            {'inner': {'count': 1, 'flag': 1}},
            'c.inner.flag=1 must be True or False (whether); write for example True',
        ),
        (
            {'inner': {'count': 1, 'kind': 'c'}},
            "c.inner.kind='c' must be one of 'a', 'b' (which); write for example a",
        ),
        (
            {'inner': {'count': 1, 'most': -1}},
            'c.inner.most=-1 must be a number above 0 or None (limit)',
        ),
        (
            {'inner': {'count': 1, 'levels': 'x'}},
            "c.inner.levels='x' must be a list, each a number (levels of grey); "
            'write for example (0.5,)',
        ),
        ({'inner': {'count': 1, 'rat': 1}}, 'c.inner.rat is unknown; did you mean rate?'),
        (
            {'inner': {'count': 7, 'kind': 'b'}},
            "c.inner: count=7 contradicts kind='b': write another count",
        ),
        ({'inner': {'count': 'a\n' * 99}}, None),
    ],
)
def test_the_one_line(values, line):
    with pytest.raises(UsageError) as error:
        settings.read(Outer, values, 'c')
    text = str(error.value)
    assert '\n' not in text and len(text) < 250
    assert line is None or text == line


def test_keys_are_listed_with_their_values():
    found = {key: value for key, _, value in settings.keys(Outer, Outer(inner=Inner(count=2)))}
    assert found['inner.count'] == 2 and found['inner.rate'] == 0.5 and len(found) == 7
    assert [key for key, _, _ in settings.keys(Outer)] == list(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    width: Annotated[Int, Field(ge=1, le=64, description='of a layer')]
    depths: Annotated[tuple[Int, ...], Field(description='of stages')] = (1,)

    def __post_init__(self):
        settings.check(self, 'sizes')


def test_a_dataclass_checks_its_own_fields():
    sizes = Sizes(width=8.0, depths=[1, 2])
    assert sizes == Sizes(width=8, depths=(1, 2)) and isinstance(sizes.width, int)
    assert hash(sizes) == hash(Sizes(width=8, depths=(1, 2)))
    for wrong, words in (
        (dict(width=0), 'sizes.width=0 must be a whole number from 1 to 64 (of a layer)'),
        (dict(width=1.5), 'sizes.width=1.5 must be a whole number'),
        (dict(width=math.inf), 'sizes.width=inf must be a whole number'),
        (dict(width=1, depths=3), 'sizes.depths=3 must be a list, each a whole number'),
    ):
        with pytest.raises(UsageError) as error:
            Sizes(**wrong)
        assert words in str(error.value)
    assert list(settings.section_of(Sizes, ('depths',)).model_fields) == ['width']
