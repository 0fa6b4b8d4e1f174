"""The processes of a run, and whether JAX finds a device at all."""

import os

import jax
from absl import logging

from s4jax.errors import UsageError


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    distributed: bool = False,
) -> bool:
    """Joins the other processes where there are any; whether this one is the first."""
    logging.set_verbosity(logging.FATAL)  # Orbax logs every save, and a failed one at length
    if coordinator or distributed:
        jax.distributed.initialize(coordinator, processes, process)
    check_devices()
    return jax.process_index() == 0


def check_devices() -> None:
    """Raises UsageError where JAX finds no device."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = os.environ.get('JAX_PLATFORMS', '')
        reason = (str(error).splitlines() or ['no backend'])[0]
        raise UsageError(
            f'JAX finds no device ({reason}): JAX_PLATFORMS={platforms} names a platform that is '
            "not installed; unset it, or pip install 's4jax[cuda]' or 's4jax[tpu]'"
        ) from None
