"""The resolved config, for whoever wants to know how the run was made."""

import json
from collections.abc import Iterator
from typing import Any

from s4jax.report.html import Html, section, tag
from s4jax.report.reading import Run


def settings(run: Run) -> Html:
    """A line for each value, as the flags of the command spell it, and the digest of the data."""
    lines = [*values('', run.config), *values('data.digest', run.data.get('digest'))]
    summary = tag('summary', f'All {len(lines)} values of the config')
    return section('Settings', tag('details', summary, tag('pre', '\n'.join(lines))))


def values(path: str, value: Any) -> Iterator[str]:
    """`path = value` of every value in nested dicts."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from values(f'{path}.{key}' if path else str(key), inner)
    else:
        yield f'{path} = {json.dumps(value)}'
