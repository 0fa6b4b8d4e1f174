"""Where a program will run: on a TPU or a GPU, layers are traced in the form that suits it."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple, Self

from jax.sharding import Mesh


class Place(NamedTuple):
    """`platform` is 'cpu', 'tpu' or 'gpu'.

    With a mesh, the leading axis of all activations is split over its devices; without one, the
    program sees the rows of a single device.
    """

    platform: str = 'cpu'
    mesh: Mesh | None = None

    @classmethod
    def of(cls, mesh: Mesh) -> Self:
        return cls(mesh.devices.flat[0].platform, mesh)

    def alone(self) -> 'Place':
        """One of the devices, which sees its own rows."""
        return self._replace(mesh=None)


A_CPU = Place()
_place: contextvars.ContextVar[Place] = contextvars.ContextVar('place', default=A_CPU)


def here() -> Place:
    """The place of what is traced now; a CPU where nobody says."""
    return _place.get()


@contextlib.contextmanager
def on(place: Place) -> Iterator[None]:
    """What is traced here is compiled for `place`."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)
