"""`python -m s4jax.truth --run=RUN --workdir=FOLDER`: a run's supernet against the truth.

Trains architectures of a space and of its neighbours alone, and says how well the supernet ranks
them, whether its accuracy gradient is the true one, and whether its move led to a better space.
"""

import argparse
import dataclasses
import pathlib
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, read_flags, split_overrides
from s4jax.settings import Int, Section

if TYPE_CHECKING:
    from s4jax.config import Config
    from s4jax.recorded import Recorded
    from s4jax.report.comparison.tables import Table
    from s4jax.run import Task
    from s4jax.runtime.session import Session
    from s4jax.runtime.signals import Signals
    from s4jax.training.trained import Trained

EPILOG = """\
architectures are trained on the train split by config.retrain and counted on the search split, on
which supernets are scored; the test split is not read. The same command goes on after a stop, and
larger numbers add to what is there. It prints the tables and writes truth.md and truth.html.
"""


class TruthSettings(Section):
    """The flags."""

    run: str = pydantic.Field(min_length=1, description='the folder of a finished run')
    workdir: str = pydantic.Field(min_length=1, description='where everything is written')
    others: tuple[str, ...] = pydantic.Field(
        (),
        description='folders of finished runs that trained other supernets of the same space, '
        'separated by commas: their ranks stand beside those of the run',
    )
    space: Int = pydantic.Field(0, ge=0, le=1000, description='which space of the run, from 0')
    architectures: Int = pydantic.Field(
        24, ge=3, le=10_000, description='drawn from the space, and from each neighbour'
    )
    repeats: Int = pydantic.Field(
        2, ge=1, le=100, description='trainings of each architecture of the space'
    )
    pairs: Int = pydantic.Field(
        6, ge=2, le=1000, description='pairs that measure the true slope of a dimension'
    )
    neighbours: Int = pydantic.Field(
        2, ge=0, le=1000, description='neighbours of the space, the one that is chosen first'
    )


def parser() -> Parser:
    result = Parser(
        prog='python -m s4jax.truth',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, field in TruthSettings.model_fields.items():
        default = f' (default: {field.default})' if isinstance(field.default, int) else ''
        result.add_argument(
            f'--{name}', required=field.is_required(), help=f'{field.description}{default}'
        )
    return result


def read(arguments: Sequence[str] | None) -> tuple[TruthSettings, list[tuple[str, str]]]:
    """The flags, and the overrides of config keys."""
    flags, overrides = split_overrides(sys.argv[1:] if arguments is None else arguments)
    given = vars(parser().parse_args(flags))
    values = {name: value for name, value in given.items() if value is not None}
    if 'others' in values:
        values['others'] = tuple(values['others'].split(','))
    return read_flags(TruthSettings, values), overrides


def measure(config: 'Config', settings: TruthSettings, signals: 'Signals') -> 'list[Table]':
    """Trains what is missing alone; returns the tables of ranks, gradient and spaces."""
    from s4jax import config as configs
    from s4jax import recorded
    from s4jax.phases.alone import Alone, train_alone
    from s4jax.phases.fitting import fit_supernet
    from s4jax.phases.searching import explore_space, subnet_score
    from s4jax.report import truth as tables
    from s4jax.run import claim, prepare
    from s4jax.runtime import seeds
    from s4jax.search import truth
    from s4jax.search.explore import slopes
    from s4jax.training.evaluate import KINDS, value

    assert config.search.source
    workdir, t = pathlib.Path(settings.workdir), settings.space
    run = recorded.read(config.search.source)
    if t >= len(run.trajectory):
        raise UsageError(
            f'--space={t}: {settings.run} visited the spaces 0 to {len(run.trajectory) - 1}'
        )
    space = run.trajectory[t].space
    others = {
        folder: recorded.read(str(pathlib.Path(folder).absolute())) for folder in settings.others
    }
    for folder, other in others.items():
        if [one.space for one in other.trajectory[t : t + 1]] != [space]:
            raise UsageError(f'--others={folder}: its space {t} is not that of {settings.run}')
        if any(other.identity[name] != run.identity[name] for name in ('seed', 'data digest')):
            raise UsageError(f'--others={folder}: its seed or its images are not those of --run')
    task, session = prepare(config, workdir, signals)
    session = dataclasses.replace(session, renew=lambda: None)  # there is no report to renew
    session.progress.plan.clear()

    def random(*purpose: str | int) -> np.random.Generator:
        return seeds.generator(task.seed, 'truth', t, *purpose)

    def alone(name: str, architectures: Sequence[Any], repeats: int = 1) -> dict[str, np.ndarray]:
        """By kind of value: those (N, repeats) of architectures that were trained alone."""
        wanted = [Alone(arch, r) for arch in architectures for r in range(repeats)]
        counted = train_alone(task, session, name, widest, wanted)
        images = len(task.data.search)
        return {
            kind: np.reshape([value(*counted[one], images, kind) for one in wanted], (-1, repeats))
            for kind in KINDS
        }

    def estimates(
        task: 'Task', session: 'Session', supernet: 'Trained', architectures: Sequence[Any]
    ) -> dict[str, np.ndarray]:
        """By kind of value: what a supernet says of architectures."""
        return {
            f"the supernet's {kind}": subnet_score(task, session, supernet, kind)(architectures)
            for kind in KINDS
        }

    def estimates_of(number: int, folder: str, other: 'Recorded') -> dict[str, np.ndarray]:
        """The same of the supernet of another run; its name is in front."""
        place = workdir / 'others' / str(number)
        task, session = prepare(configs.read(recorded.config_values(folder)), place, signals)
        session = dataclasses.replace(session, renew=lambda: None)
        with claim(task, place):
            recorded.copy(other, place, [t])
            supernet = fit_supernet(task, session, f'supernet_{t}', space)
            found = estimates(task, session, supernet, drawn[0])
        return {f'{folder}: {name}': values for name, values in found.items()}

    with claim(task, workdir):
        session.begin()
        recorded.copy(run, workdir, [t])
        supernet = fit_supernet(task, session, f'supernet_{t}', space)
        step = explore_space(task, session, t, space, supernet)
        moves = truth.neighbours(step.candidates, settings.neighbours)
        spaces = [space, *(space.moved(move.gamma) for move in moves)]
        widest = task.architecture(truth.enclosing(spaces))
        drawn = [
            list(map(task.architecture, truth.sample(one, random(n), settings.architectures)))
            for n, one in enumerate(spaces)
        ]
        own = alone('ranks', drawn[0], settings.repeats)
        said = estimates(task, session, supernet, drawn[0])
        for number, (folder, other) in enumerate(others.items()):
            said |= estimates_of(number, folder, other)
        costs = [task.cost(arch) for arch in drawn[0]]
        said |= {name: np.array([cost[name] for cost in costs]) for name in costs[0]}
        true = slopes(
            space,
            lambda architectures: alone('gradient', architectures)['accuracy'][:, 0],
            task.architecture,
            random('pairs'),
            settings.pairs,
        )
        around = [
            (move, alone('spaces', architectures)['accuracy'][:, 0])
            for move, architectures in zip([None, *moves], drawn)
        ]
    return [
        tables.ranks_table(own, said),
        tables.gradient_table(space, step, true),
        tables.spaces_table(space, around),
    ]


def execute(arguments: Sequence[str] | None) -> int:
    settings, overrides = read(arguments)
    from s4jax import config as configs
    from s4jax import config_file, recorded
    from s4jax.report.comparison import files
    from s4jax.runtime.cache import use_cache
    from s4jax.runtime.files import check_folder, write_text
    from s4jax.runtime.hosts import join
    from s4jax.runtime.signals import Interrupted, Signals

    workdir = pathlib.Path(settings.workdir)
    check_folder(workdir)
    values = recorded.config_values(settings.run)
    config_file.override(values, overrides)
    config = configs.read(values)
    join()
    use_cache()
    with Signals() as signals:
        try:
            found = measure(config, settings, signals)
        except Interrupted:
            message = f'stopped and saved in {workdir}; to go on, run the same command again'
            print(f's4jax: {message}', file=sys.stderr)
            return 128 + (signals.received or signal.SIGTERM)
    given = sys.argv[1:] if arguments is None else arguments
    command = f'python -m s4jax.truth {shlex.join(given)}'
    text = files.markdown(found, command)
    write_text(workdir / 'truth.md', text)
    write_text(workdir / 'truth.html', files.page('The supernet and the truth', found, command))
    print(text, end='')
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return execute(arguments)
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
