"""`python -m s4jax.main --config=configs/digits.py --workdir=runs/digits [--config.budget.params=25e6 …]`."""

import difflib
import os
import pathlib
import re
import sys
import warnings

from absl import flags, logging
from ml_collections import config_flags

from s4jax.errors import UsageError

CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'A file of configs/, with overrides such as --config.budget.params=25e6.'
)
WORKDIR = flags.DEFINE_string(
    'workdir', None, 'The folder of the run; the same command goes on with a run that was stopped.'
)
COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'host:port of process 0, for several hosts that are no TPU pod.'
)
PROCESSES = flags.DEFINE_integer(
    'processes', None, 'The number of processes that --coordinator joins.'
)
PROCESS = flags.DEFINE_integer('process', None, 'This process, from 0.')
DISTRIBUTED = flags.DEFINE_bool(
    'distributed', False, 'Join the hosts of a TPU pod or a SLURM job before anything else.'
)
CACHE = '~/.cache/s4jax'  # compiled programs, unless JAX_COMPILATION_CACHE_DIR names another place


def parse(arguments: list[str]) -> None:
    """absl's flags, with its and ml_collections' complaints told as usage errors."""
    for argument in arguments[1:]:
        path = re.match(r'--?config=([^:]+)(:.*)?$', argument)
        if path and not pathlib.Path(path[1]).is_file():
            near = difflib.get_close_matches(
                path[1], map(str, pathlib.Path(path[1]).parent.glob('*.py')), 1
            )
            raise UsageError(
                f'--config={path[1]} does not exist'
                + (f'; did you mean {near[0]}?' if near else '')
            )
    try:
        rest = flags.FLAGS(arguments)[1:]
    except flags.Error as error:
        lines = str(error).strip().splitlines()
        raise UsageError(lines[0] if len(lines) == 1 else f'{lines[0]} {lines[-1]}') from None
    except (AttributeError, KeyError) as error:  # a config key that does not exist
        words = re.findall(r'"([^"]*)" instead of "([^"]*)"', str(error))
        text = (
            f'config: no field {words[0][1]}; did you mean {words[0][0]}?'
            if words
            else f'config: no field {error}'
        )
        raise UsageError(text) from None
    if rest:
        raise UsageError(f'{rest[0]!r} is no flag')
    for flag in (CONFIG, WORKDIR):
        if flag.value is None:
            raise UsageError(
                f'--{flag.name} is missing: python -m s4jax.main --config=configs/digits.py --workdir=runs/digits'
            )


def execute() -> int:
    """Runs the job of the flags and returns the exit code."""
    import jax  # after the flags are known to be sound: it takes a second

    from s4jax import pipeline
    from s4jax.runtime import mesh
    from s4jax.runtime.signals import Interrupted, Signals

    if COORDINATOR.value or DISTRIBUTED.value:
        jax.distributed.initialize(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    logging.set_verbosity(
        logging.FATAL
    )  # Orbax tells of every save, and of a failed one with every thread's traceback
    cache = pathlib.Path(os.environ.get('JAX_COMPILATION_CACHE_DIR') or CACHE).expanduser()
    jax.config.update('jax_compilation_cache_dir', str(cache))
    forget_damaged(cache)
    workdir = pathlib.Path(WORKDIR.value)
    with Signals() as signals:
        try:
            summary = pipeline.run(CONFIG.value.to_dict(), workdir, signals)
        except Interrupted:
            print(
                f's4jax: stopped and saved in {workdir}; to go on, run the same command again',
                file=sys.stderr,
            )
            return 128 + signals.received
    if mesh.is_first_host():
        print(summary)
    return 0


def forget_damaged(cache: pathlib.Path) -> None:
    """Deletes a compiled program that JAX warns it could not read: JAX itself would warn of it for ever and not replace it."""
    shown = warnings.showwarning

    def show(message, *rest, **options):
        name = re.match(
            r"Error reading persistent compilation cache entry for '([^']+)'", str(message)
        )
        if name is None:
            return shown(message, *rest, **options)
        for entry in cache.glob(f'{name[1]}*'):
            entry.unlink(missing_ok=True)
        print(
            f's4jax: a damaged compiled program ({name[1]}) in {cache} is deleted and compiled again',
            file=sys.stderr,
        )

    warnings.showwarning = show


def main(arguments: list[str] | None = None) -> int:
    try:
        parse(sys.argv if arguments is None else arguments)
        return execute()
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
