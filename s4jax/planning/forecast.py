"""What a run will take: time, memory and disk of every phase, before anything is trained."""

import dataclasses
import os
import pathlib
import resource
import shutil
import sys
from typing import Any

import jax
import numpy as np

from s4jax.planning.timing import Timed, Timings, saves
from s4jax.report.reading import order
from s4jax.run import Task
from s4jax.runtime.files import read_json
from s4jax.runtime.goodput import seconds_of
from s4jax.runtime.progress import duration, kind
from s4jax.search.budget import readable
from s4jax.search.space import SearchSpace
from s4jax.work import work

DRAWN = 500  # architectures of the first space that are counted
KEPT = 3  # checkpoints of a training
START = 10.0  # seconds for what is no phase: libraries, the images, the report
FEW = 0.05  # share of architectures that fit, below which the plan warns of a hard search


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase of a run: `steps` is None where nothing is trained; memory and disk in bytes."""

    name: str
    steps: int | None
    images: int
    seconds: float
    compiling: float
    memory: int
    disk: int = 0


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The first space, every phase, the memory of the process so far, and what does not fit."""

    space: dict[str, Any]
    phases: tuple[Phase, ...]
    process: int
    advice: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return START + sum(phase.seconds for phase in self.phases)

    @property
    def memory(self) -> int:
        """On a CPU that of the process, which has run the programs; else that of a program."""
        largest = max(phase.memory for phase in self.phases)
        return self.process if jax.default_backend() == 'cpu' else largest

    @property
    def disk(self) -> int:
        return sum(phase.disk for phase in self.phases)

    def to_json(self) -> dict[str, Any]:
        total = {'seconds': self.seconds, 'memory': self.memory, 'disk': self.disk}
        row = dataclasses.asdict(self)
        return {**row, 'total': total, 'device': jax.devices()[0].device_kind}


def forecast(task: Task, space: SearchSpace, timings: Timings, execution: str) -> Forecast:
    """What a run takes by these timings; every phase counts as if the space moved every time."""
    config, images_of = task.config, work(task.config, task.data)
    phases = tuple(
        phase(name, images, timed_of(timings, name, execution), batch, config.checkpoint.save_every)
        for name, images in sorted(images_of.items(), key=lambda row: order(row[0]))
        for batch in [batch_of(config, name)]
    )
    facts = space_facts(task, space)
    found = Forecast(facts, phases, resident(), ())
    return dataclasses.replace(found, advice=tuple(advice(task, found)))


def timed_of(timings: Timings, name: str, execution: str) -> Timed:
    if kind(name) == 'supernet':
        return timings.supernet[execution]
    if kind(name) != 'alone':
        return timings.subnets
    return timings.alone if name == 'baseline' else timings.winner


def batch_of(config: Any, name: str) -> int | None:
    """Images of a step, or None where nothing is trained."""
    if kind(name) == 'supernet':
        return config.supernet.images_a_step
    return config.retrain.images_a_step if kind(name) == 'alone' else None


def phase(name: str, images: float, timed: Timed, batch: int | None, every: int) -> Phase:
    steps = None if batch is None else round(images / batch)
    count = saves(steps, every) if steps else 0
    return Phase(
        name,
        steps,
        round(images),
        images * timed.seconds + timed.compiling + count * timed.saving,
        timed.compiling,
        timed.memory,
        min(KEPT, count) * timed.disk,
    )


def space_facts(task: Task, space: SearchSpace) -> dict[str, Any]:
    """Smallest, median and largest costs of the first space, and the share that fits."""
    rng = np.random.default_rng(0)
    drawn = [task.cost(task.architecture(space.sample(rng))) for _ in range(DRAWN)]
    smallest = task.cost(task.architecture(space.smallest()))
    largest = task.size(space)
    costs = {
        name: {
            'smallest': smallest[name],
            'median': float(np.median([row[name] for row in drawn])),
            'largest': largest[name],
        }
        for name in largest
    }
    fitting = float(np.mean([task.budget.fits(row) for row in drawn]))
    return {'dimensions': str(space), 'costs': costs, 'fitting': fitting}


def advice(task: Task, found: Forecast) -> list[str]:
    """What to change where the run does not fit."""
    lines, limit, config = [], available(), task.config
    for one in found.phases:
        if limit and one.memory > limit:
            key = 'evaluate.architectures' if one.steps is None else 'supernet.batch_size'
            key = 'retrain.batch_size' if kind(one.name) == 'alone' else key
            lines.append(
                f'{one.name} needs {size(one.memory)} of memory, the device has {size(limit)}: '
                f'lower config.{key}'
            )
            break
    free = shutil.disk_usage(os.getcwd()).free
    if found.disk > free:
        lines.append(
            f'checkpoints need {size(found.disk)}, the disk has {size(free)} free: choose a '
            '--workdir on another disk'
        )
    if config.hours is not None and found.seconds > 1.2 * 3600 * config.hours:
        lines.append(
            f'the run takes {duration(found.seconds)}, more than config.hours={config.hours:g}: '
            'lower config.supernet.epochs and config.retrain.epochs, or leave them at None'
        )
    if found.space['fitting'] < FEW:
        lines.append(
            f'only {found.space["fitting"]:.1%} of the architectures fit the budget: lower the '
            'upper bounds of config.space'
        )
    return lines


def available() -> int:
    """The bytes of memory of a device."""
    stats = jax.local_devices()[0].memory_stats() or {}
    host = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return int(stats.get('bytes_limit', host if jax.default_backend() == 'cpu' else 0))


def resident() -> int:
    """The most memory that this process has had so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == 'darwin' else 1024 * most


def peak() -> int:
    """The most memory that was really used: of the device, or of the process on a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get('peak_bytes_in_use', 0)) or resident()


def size(count: float) -> str:
    """Bytes as a person reads them."""
    return f'{readable(count)}B' if count < 1e6 else f'{count / 1e6:,.0f} MB'


def table(found: Forecast) -> list[str]:
    """The whole forecast in lines of text."""
    lines = [f'first space  {found.space["dimensions"]}']
    for name, costs in found.space['costs'].items():
        row = '  '.join(f'{what} {readable(value)}' for what, value in costs.items())
        lines.append(f'  {name:<10} {row}')
    lines += [f'  {found.space["fitting"]:.0%} of its architectures fit the budget', '']
    lines.append(f'{"phase":<12}{"steps":>9}{"images":>13}{"time":>13}{"memory":>11}{"disk":>9}')
    for one in found.phases:
        steps = '' if one.steps is None else f'{one.steps:,}'
        lines.append(
            f'{one.name:<12}{steps:>9}{one.images:>13,}{duration(one.seconds):>13}'
            f'{size(one.memory):>11}{size(one.disk) if one.disk else "":>9}'
        )
    lines.append(
        f'{"total":<12}{"":>9}{"":>13}{duration(found.seconds):>13}{size(found.memory):>11}'
        f'{size(found.disk):>9}'
    )
    return lines + [f'\nto change: {line}' for line in found.advice]


def short(found: Forecast) -> list[str]:
    """The forecast in a few lines, as a run prints it before it begins."""
    kinds: dict[str, list[float]] = {}
    for one in found.phases:
        kinds.setdefault(one.name.partition('_')[0], []).append(one.seconds)
    parts = ', '.join(
        f'{name} {f"{len(each)} × " * (len(each) > 1)}{duration(sum(each) / len(each))}'
        for name, each in kinds.items()
    )
    costs = '; '.join(
        f'{readable(row["smallest"])} to {readable(row["largest"])} {name}'
        for name, row in found.space['costs'].items()
    )
    return [
        f'plan: about {duration(found.seconds)}: {parts}',
        f'plan: {size(found.memory)} of memory, {size(found.disk)} of checkpoints; the first space '
        f'has {costs}, {found.space["fitting"]:.0%} of it fits',
        *(f'plan: to change: {line}' for line in found.advice),
    ]


def compared(workdir: pathlib.Path) -> str:
    """What was planned beside what came true, in a line."""
    plan = read_json(workdir / 'plan.json')
    path = workdir / 'timing.jsonl'
    if plan is None or not path.exists():
        return 's4jax: no plan was made'
    took = seconds_of(workdir)
    planned = {row['name']: row['seconds'] for row in plan['phases'] if row['name'] in took}
    each = ', '.join(
        f'{name} {duration(seconds)} → {duration(took[name])}' for name, seconds in planned.items()
    )
    return (
        f's4jax: planned {duration(sum(planned.values()))} for these phases, took '
        f'{duration(sum(took[name] for name in planned))} ({each}); memory '
        f'{size(plan["total"]["memory"])} planned, {size(peak())} used by this session'
    )
