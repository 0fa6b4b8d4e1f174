"""`python -m s4jax.main --config=configs/digits.py --workdir=runs/digits`: the whole method."""

import argparse
import functools
import os
import pathlib
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, split_overrides

USAGE = """python -m s4jax.main --config=FILE.py --workdir=FOLDER [--config.KEY=VALUE ...]
       python -m s4jax.main --from=RUN --workdir=FOLDER [--config.KEY=VALUE ...]"""
EPILOG = """\
the same command goes on with a run that was stopped

keys:
  --config.evolve.population=20 sets a key of the config; numbers may be written 60k, 25M, 5G
  --config=FILE.py --help lists every key with its meaning, range and value
  docs/config.md has the keys of all families

commands:
  python -m s4jax.main      search: train supernets, move the space, evolve, retrain, test
  python -m s4jax.plan      what a run will take: time, memory, disk; trains nothing
  python -m s4jax.count     parameters and MACs of an architecture
  python -m s4jax.data      prepare a dataset, or look at it
  python -m s4jax.predict   classes of images by the winner of a finished run
  python -m s4jax.export    the winner for other programs: ONNX, StableHLO, PyTorch, safetensors
  python -m s4jax.compare   search methods, seed by seed
  python -m s4jax.truth     a run's supernet against architectures trained alone
"""


def parser() -> Parser:
    result = Parser(
        prog='python -m s4jax.main',
        usage=USAGE,
        description='Searches the best vision transformer that fits a size budget.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    add = result.add_argument
    add('--config', metavar='FILE', help='a config, or FILE.py:VARIANT, as configs/vit.py:cifar100')
    add('--workdir', metavar='FOLDER', help='where the run writes everything')
    add('--from', metavar='RUN', dest='source', help='search the supernets of that finished run')
    add('--front', metavar='N', help='also the front of accuracy against size, of N points')
    add('--share', metavar='FOLDER', help='finished trainings, for runs that have some in common')
    add('--no-plan', action='store_true', help='begin at once, without timing some steps before')
    add('--coordinator', metavar='HOST:PORT', help='of process 0, for several hosts without a pod')
    add('--processes', type=int, metavar='N', help='how many processes the coordinator joins')
    add('--process', type=int, metavar='I', help='which of them this is, from 0')
    add('--distributed', action='store_true', help='join the hosts of a TPU pod or a SLURM job')
    add('-h', '--help', action='store_true', help='this text; with --config also every key')
    return result


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[tuple[str, str]]]:
    """The flags, and the overrides of config keys as (key, text)."""
    flags, overrides = split_overrides(arguments)
    options = parser().parse_args(flags)
    if not options.help:
        _check(options)
    return options, overrides


def _check(options: argparse.Namespace) -> None:
    """Raises where a flag is missing, or flags contradict each other."""
    if options.source and options.config:
        raise UsageError(
            '--from takes the config of that run: leave out --config, and set the keys that differ'
        )
    for name in ('workdir',) if options.source else ('config', 'workdir'):
        if not getattr(options, name):
            raise UsageError(
                f'--{name} is missing: python -m s4jax.main --config=configs/digits.py '
                '--workdir=runs/digits'
            )
    joined = {name: getattr(options, name) for name in ('coordinator', 'processes', 'process')}
    given = [name for name, value in joined.items() if value is not None]
    missing = [name for name in joined if name not in given]
    if given and missing:
        raise UsageError(f'--{given[0]} needs --{" and --".join(missing)}, too')
    if options.share and (given or options.distributed):
        raise UsageError('--share is for runs of one process: leave it out')
    if given and options.distributed:
        raise UsageError('--distributed finds the other hosts itself: leave out --coordinator')
    if not given:
        return
    if not re.fullmatch(r'\S+:\d{1,5}', options.coordinator):
        raise UsageError(f'--coordinator={options.coordinator} must be HOST:PORT')
    if not 1 <= options.processes <= 100_000:
        raise UsageError(f'--processes={options.processes} must be from 1 to 100,000')
    if not 0 <= options.process < options.processes:
        raise UsageError(
            f'--process={options.process} must be from 0 to {options.processes - 1}: '
            f'there are --processes={options.processes}'
        )


def load(options: argparse.Namespace, overrides: list[tuple[str, str]]) -> dict[str, Any]:
    """The values of the config of the flags, before they are typed."""
    from s4jax import config_file  # it takes a second: after the flags are known to be sound

    front = [('search.front', options.front)] if options.front is not None else []
    if not options.source:
        return config_file.read(options.config, [*overrides, *front])
    from s4jax import recorded

    values = recorded.config_values(options.source)
    config_file.override(values, [*overrides, *front])
    return values


def show_help(options: argparse.Namespace, overrides: list[tuple[str, str]]) -> int:
    parser().print_help()
    if options.config:
        values = load(options, overrides)
        from s4jax import config
        from s4jax.planning import preset

        if preset.wanted(values):
            print('\nchosen for 1,000 images of 64×64 in colour, 2M parameters, on 2 cores:')
            values = preset.shown_example(values)
        print(f'\nkeys of {options.config}:', *config.lines(config.read(values)), sep='\n')
    return 0


def execute(options: argparse.Namespace, overrides: list[tuple[str, str]]) -> int:
    """Runs the config of the flags and returns the exit code."""
    from s4jax.runtime.files import check_folder

    workdir = pathlib.Path(options.workdir)
    check_folder(workdir)
    values = load(options, overrides)
    from s4jax import config as configs
    from s4jax.planning import preset

    config = None if preset.wanted(values) else configs.read(values)

    from s4jax import pipeline
    from s4jax.planning import forecast
    from s4jax.planning.announce import announce
    from s4jax.planning.resolve import resolve
    from s4jax.runtime.cache import use_cache
    from s4jax.runtime.hosts import join
    from s4jax.runtime.signals import Interrupted, Signals
    from s4jax.runtime.store import Store

    first = join(options.coordinator, options.processes, options.process, options.distributed)
    store = Store(pathlib.Path(options.share).absolute()) if options.share else None
    use_cache()
    with Signals() as signals:
        try:
            measured: dict[str, Any] = {}
            if config is None:
                config, measured = resolve(values, workdir, signals)
            # a run that shares its trainings is one of many: the plan of one would say little
            planned = not (options.no_plan or store or options.source)
            before = functools.partial(announce, measured=measured) if planned else None
            summary = pipeline.run(config, workdir, signals, store, measured, before)
        except Interrupted:
            message = f'stopped and saved in {workdir}; to go on, run the same command again'
            print(f's4jax: {message}', file=sys.stderr)
            # without a signal of its own, another process of the run was stopped
            return 128 + (signals.received or signal.SIGTERM)
    if first:
        print(summary)
        print(forecast.compared(workdir), file=sys.stderr)  # times: not of the result
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        options, overrides = parse(sys.argv[1:] if arguments is None else arguments)
        return show_help(options, overrides) if options.help else execute(options, overrides)
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2


def start() -> NoReturn:
    """`main` as a process of its own, which ends whatever happens.

    After an error that nobody foresaw, a thread of a library may wait for what never comes.
    """
    try:
        code = main()
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.exit(code)


if __name__ == '__main__':
    start()
