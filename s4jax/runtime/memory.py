"""A device whose memory is full: one line that says what to change."""

import contextlib
import re
from collections.abc import Callable, Iterator

import jax

from s4jax.errors import UsageError


@contextlib.contextmanager
def device_memory(advice: Callable[[], str]) -> Iterator[None]:
    """Turns XLA's out-of-memory error into a UsageError that ends with the advice."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        text = str(error)
        if 'RESOURCE_EXHAUSTED' not in text and 'out of memory' not in text.lower():
            raise
        raise UsageError(f'the memory of the device is full{_sizes(text)}: {advice()}') from None


def _sizes(text: str) -> str:
    """What was asked for and what there is, as far as it is known."""
    wanted = re.search(r'(\d+) ?bytes', text) or re.search(r'allocat\w+ (\d+)', text)
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get('bytes_limit')
    parts = [f'{int(wanted[1]) / 2**30:,.1f} GiB more were needed'] if wanted else []
    parts += [f'{limit / 2**30:,.1f} GiB are there'] if limit else []
    return f' ({", ".join(parts)})' if parts else ''
