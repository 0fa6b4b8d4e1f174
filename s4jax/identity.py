"""Which keys of a config decide what a run computes."""

import json
from typing import Any

from s4jax.config import Config

# what changes no result may differ when a run goes on: cadence and paths (section, key or all)
FREE = (
    ('checkpoint', None),
    ('data', 'root'),
    ('data', 'unreadable'),
    ('encoder', 'weights'),
    ('encoder', 'trust'),
    ('encoder', 'cache'),
    ('search', 'source'),  # its digest counts, as do those of these files
    ('cost', 'file'),
    ('supernet', 'weights'),
    # but for rounding, as with another number of devices: what a full memory asks to change
    *((name, key) for name in ('supernet', 'retrain') for key in ('microbatches', 'sharding')),
    ('evaluate', 'batch_size'),
    ('evaluate', 'architectures'),
)


def kept(config: Config) -> dict[str, Any]:
    """The keys, flat, that may not change when a run goes on."""
    flat: dict[str, Any] = {}

    def visit(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                visit(value[key], (*path, key))
        elif (path[0], None) not in FREE and path not in FREE:
            flat['.'.join(path)] = value

    visit(json.loads(json.dumps(config.model_dump(mode='json'))), ())
    return flat
