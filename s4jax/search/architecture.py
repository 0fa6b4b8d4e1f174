"""The sizes of one model: what a family turns the choices of a space into."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Self

import pydantic

from s4jax import settings
from s4jax.errors import UsageError

DESCRIBING = ('family', 'params', 'macs', 'note')  # keys of a row of JSON that are not sizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of one model: a family adds its own fields. Equal architectures are equal keys.

    Fields are checked by their annotations; a rule between fields stands in the family's own
    `__post_init__`, after the call of this one.
    """

    image_size: Annotated[
        settings.Int,
        pydantic.Field(ge=1, le=4096, description='height and width of an image in pixels'),
    ]
    channels: Annotated[
        settings.Int, pydantic.Field(ge=1, le=16, description='channels of an image')
    ] = 3
    classes: Annotated[
        settings.Int, pydantic.Field(ge=1, le=1_000_000, description='number of classes')
    ]

    def __post_init__(self):
        settings.check(self, 'architecture')

    def to_json(self) -> dict[str, Any]:
        """The fields; whole numbers are ints, so that equal architectures are equal text."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """An architecture from a row of JSON; keys that only describe the row are left out."""
        if not isinstance(row, Mapping):
            raise UsageError(
                f'architecture={settings.shown(row)} must be an object of names and sizes'
            )
        fields = dataclasses.fields(cls)
        known = [field.name for field in fields]
        sizes = {name: value for name, value in row.items() if name not in DESCRIBING}
        for name in sizes:
            if name not in known:
                raise UsageError(f'architecture.{name} is unknown{settings.near(name, known)}')
        for field in fields:
            if field.default is dataclasses.MISSING and field.name not in sizes:
                raise UsageError(
                    f'architecture.{field.name} is missing; an architecture of this family has '
                    f'{", ".join(known)}'
                )
        return cls(**sizes)


def _plain(value: Any) -> Any:
    """A size as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
