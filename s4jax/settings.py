"""What a config's sections are made of: typed, documented fields.

A section is a class beside the code that uses it. Its fields say what they mean, their unit and
their range; the same fields give the check, `--help` and the page of all keys.
"""

import dataclasses
import difflib
import functools
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import annotated_types
import pydantic
from pydantic.fields import FieldInfo

from s4jax.errors import UsageError

UNITS = {'': 1, 'k': 10**3, 'M': 10**6, 'G': 10**9, 'T': 10**12}
NUMBER = re.compile(r'([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([kMGT]?)')
WORDS = {'true': True, 'false': False}
SHOWN = 60  # characters of a value that an error repeats


def number(value: Any) -> Any:
    """Text such as 60k, 25M or 5e-4 as a number; True and False are not numbers.

    Other values stay as they are; text that is no number raises ValueError.
    """
    if type(value) is int or type(value) is float:  # nearly always: evolution makes 100,000 of them
        return value
    if isinstance(value, bool):
        raise ValueError('True and False are not numbers')
    if isinstance(value, str):
        match = NUMBER.fullmatch(value.strip().replace('_', ''))
        if match is None:
            raise ValueError('it is not a number')
        found = float(match[1]) * UNITS[match[2]]
        return int(found) if found.is_integer() else found
    return value


def sequence(value: Any) -> Any:
    """Text such as (0.3, 0.4) or 0.3,0.4 as its items."""
    if isinstance(value, str):
        return [item for item in re.split(r'[,\s]+', value.strip().strip('()[]')) if item]
    return value


def _flag(value: Any) -> Any:
    """The words true and false; nothing else is guessed."""
    if isinstance(value, str):
        return WORDS.get(value.lower(), value)
    return value


# The types of fields. Numbers may be written 60k, 25M, 5G; bounds come with pydantic.Field.
Int = Annotated[int, pydantic.BeforeValidator(number)]
Float = Annotated[float, pydantic.BeforeValidator(number)]
Bool = Annotated[bool, pydantic.Strict(), pydantic.BeforeValidator(_flag)]
Number = Annotated[int | float, pydantic.BeforeValidator(number)]  # an int stays an int
Ints = Annotated[tuple[Int, ...], pydantic.BeforeValidator(sequence)]
Floats = Annotated[tuple[Float, ...], pydantic.BeforeValidator(sequence)]

CONFIG = pydantic.ConfigDict(
    extra='forbid', frozen=True, allow_inf_nan=False, protected_namespaces=()
)


class Section(pydantic.BaseModel):
    """A part of a config: immutable, no unknown keys, no NaN, no infinity."""

    model_config = CONFIG


S = TypeVar('S', bound=Section)


def read(section: type[S], values: Any, where: str) -> S:
    """`values` as a section; raises UsageError with the first thing that is wrong, in one line.

    `where` is the section's own name, such as 'config.retrain'.
    """
    try:
        return section.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(explain(section, error, where)) from None


def explain(section: type[Section], error: pydantic.ValidationError, where: str) -> str:
    """The first error of a section as: key=value must be …; what to write instead."""
    first = error.errors(include_url=False)[0]
    path = tuple(part for part in first['loc'] if isinstance(part, str))
    own, field = _field(section, path)
    key = '.'.join((where, *path)) if where else '.'.join(path)
    if first['type'] == 'extra_forbidden':
        return f'{key} is unknown{near(path[-1], list(own.model_fields))}'
    if first['type'] == 'missing':
        absent = own.model_fields.get(path[-1])
        return f'{key} is missing: {_meaning(absent)}; write {expected(absent)}'
    if first['type'] == 'value_error' and (field is None or not path):  # a rule between keys
        return f'{key}: {first["ctx"]["error"]}' if key else str(first['ctx']['error'])
    if field is None:
        return f'{key}={shown(first["input"])} must be a group of keys, such as {key}.NAME=VALUE'
    value = shown(first['input'])
    if isinstance(first.get('ctx', {}).get('error'), UsageError):  # a rule of this key alone
        return f'{key}={value}: {first["ctx"]["error"]}'
    return f'{key}={value} must be {expected(field)} ({_meaning(field)}){_example(field)}'


def near(name: str, known: list[str]) -> str:
    """The end of an error about an unknown name: the nearest known one, or all of them."""
    found = difflib.get_close_matches(name, known, 1)
    return f'; did you mean {found[0]}?' if found else f'; known: {", ".join(known)}'


def shown(value: Any) -> str:
    """A value as an error repeats it: on one line and not too long."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= SHOWN else f'{text[:SHOWN]}…'


def _field(section: type[Section], path: tuple[str, ...]) -> tuple[type[Section], FieldInfo | None]:
    """The section that holds the last key of `path`, and that key's field where it has one."""
    field = None
    for n, name in enumerate(path):
        field = section.model_fields.get(name)
        below = section_in(field.annotation) if field else None
        if below is None or n == len(path) - 1:
            break
        section = below
    return section, None if field is not None and section_in(field.annotation) else field


def section_in(annotation: Any) -> type[Section] | None:
    """The section class of a field that is a section, or None."""
    options = [annotation, *typing.get_args(annotation)]
    found = (o for o in options if isinstance(o, type) and issubclass(o, Section))
    return next(found, None)


def _meaning(field: FieldInfo | None) -> str:
    return (field.description or '').rstrip('.') if field else ''


def _example(field: FieldInfo) -> str:
    value = field.examples[0] if field.examples else field.default
    if value is None or field.is_required() and not field.examples:
        return ''
    return f'; write for example {value}'


def expected(field: FieldInfo | None) -> str:
    """What a field takes, in words with its range."""
    return _words(field.annotation, field.metadata) if field else 'a value'


def _words(annotation: Any, metadata: list[Any]) -> str:
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(options[0], [*options[1:], *metadata])
    if origin is Literal:
        return 'one of ' + ', '.join(repr(option) for option in options)
    if set(options) == {int, float}:
        return _words(float, metadata)
    if origin in (typing.Union, types.UnionType):
        return ' or '.join(
            'None' if option is type(None) else _words(option, metadata) for option in options
        )
    if origin is tuple:
        return f'a list, each {_words(options[0], metadata)}'
    if annotation is bool:
        return 'True or False'
    if annotation is str:
        return 'text'
    if annotation in (int, float):
        return ('a whole number' if annotation is int else 'a number') + _bounds(metadata)
    return 'a group of keys'


def _bounds(metadata: list[Any]) -> str:
    """The range in words, such as ' from 1 to 100'."""
    flat = [m for item in metadata for m in (getattr(item, 'metadata', None) or [item])]
    found = {type(m): m for m in flat}
    least, most = found.get(annotated_types.Ge), found.get(annotated_types.Le)
    if least and most:
        return f' from {_plain(least.ge)} to {_plain(most.le)}'
    kinds = {'Gt': 'above', 'Ge': 'at least', 'Lt': 'below', 'Le': 'at most'}
    words = [
        f'{word} {_plain(getattr(found[kind], name.lower()))}'
        for name, word in kinds.items()
        if (kind := getattr(annotated_types, name)) in found
    ]
    return ' ' + ' and '.join(words) if words else ''


def _plain(value: float) -> str:
    return f'{value:,}' if abs(value) < 1e9 else f'{value:g}'


def keys(
    section: type[Section], values: Section | None = None
) -> Iterator[tuple[str, FieldInfo, Any]]:
    """(key, field, value) of every key below a section, in order.

    Without `values`, an instance of the section, the value is the field's default.
    """
    for name, field in section.model_fields.items():
        value = field.get_default() if values is None else getattr(values, name)
        inner = section_in(field.annotation)
        if inner is None or (values is not None and value is None):
            yield name, field, value
        else:
            below = value if isinstance(value, Section) else None
            for key, found, its_value in keys(inner, below):
                yield f'{name}.{key}', found, its_value


@functools.cache
def section_of(cls: type, less: tuple[str, ...] = ()) -> type[Section]:
    """A section with the annotated fields of a dataclass, but for those named in `less`."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name not in less:
            default = ... if field.default is dataclasses.MISSING else field.default
            fields[field.name] = (hints[field.name], default)
    return pydantic.create_model(cls.__name__, __base__=Section, **fields)


def check(instance: Any, where: str) -> None:
    """Validates a frozen dataclass's fields by their annotations, from its `__post_init__`.

    Values are set as their types (a list as a tuple, 3.0 as 3). Raises UsageError.
    """
    kind: type = type(instance)
    cls = section_of(kind)
    values = vars(instance)
    values.update(dict(read(cls, values, where)))


def described(values: Mapping[str, Any]) -> str:
    """name=value of a mapping, in one line."""
    return ', '.join(f'{name}={value}' for name, value in values.items())
