"""`python -m s4jax.plan --config=FILE.py [--json]`: what a run will take, before any training.

A table: the costs of the first space, then steps, images, time, memory and disk of every phase.
Times come from a few steps that are really run on this device.
"""

import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, split_overrides


def parser() -> Parser:
    result = Parser(
        prog='python -m s4jax.plan', description=__doc__, usage='%(prog)s --config=FILE.py [--json]'
    )
    result.add_argument('--config', required=True, help='a config, with --config.KEY=VALUE')
    result.add_argument('--json', action='store_true', help='the same as JSON')
    return result


def plan(arguments: Sequence[str]) -> str:
    """The table or the JSON of a config."""
    flags, overrides = split_overrides(arguments)
    options = parser().parse_args(flags)
    from s4jax import config as configs
    from s4jax import config_file
    from s4jax.pipeline import first_space
    from s4jax.planning import preset
    from s4jax.planning.announce import planned
    from s4jax.planning.forecast import table
    from s4jax.planning.resolve import Measured, resolve
    from s4jax.run import prepare
    from s4jax.runtime.cache import use_cache
    from s4jax.runtime.hosts import join
    from s4jax.runtime.signals import Signals

    values = config_file.read(options.config, overrides)

    config = None if preset.wanted(values) else configs.read(values)
    join()
    use_cache()
    with tempfile.TemporaryDirectory() as folder, Signals() as signals:
        workdir = pathlib.Path(folder) / 'run'
        measured: Measured = {}
        if config is None:
            config, measured = resolve(values, workdir, signals)
        task, session = prepare(config, workdir, signals)
        found = planned(task, session, first_space(task).space, measured)
    if options.json:
        return json.dumps({'config': config.model_dump(mode='json'), **found.to_json()}, indent=1)
    return '\n'.join(table(found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the plan and returns the exit code; 2 after a mistake, which is printed in a line."""
    try:
        print(plan(sys.argv[1:] if arguments is None else arguments))
        return 0
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
