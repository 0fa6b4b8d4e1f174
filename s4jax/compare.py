"""`python -m s4jax.compare --config=… --methods=s4,s3,random --seeds=0-4 --workdir=…`.

Runs what is missing, then writes the tables of all that is finished.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import queue
import re
import shlex
import signal
import subprocess
import sys
import typing
from collections.abc import Sequence
from typing import Any

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, split_overrides
from s4jax.runtime.files import read_json
from s4jax.settings import near

MOST_SEEDS = 1000
EPILOG = """\
every run has a folder of its own, WORKDIR/METHOD/seed-N, where python -m s4jax.main works as
always; what methods have in common is trained once and kept in WORKDIR/shared. The same command
goes on with a comparison that was stopped. The first method is the one that the others are
compared with. Keys of the config are set as for main: --config.supernet.epochs=10.
"""


def parser() -> Parser:
    result = Parser(
        prog='python -m s4jax.compare',
        description='Runs search methods seed by seed and compares what they find.',
        epilog=EPILOG,
    )
    add = result.add_argument
    add('--config', required=True, metavar='FILE', help='a config, or FILE.py:VARIANT')
    add('--methods', default='s4,s3,autoformer,random,largest,stock', help='separated by commas')
    add('--seeds', default='0-4', help='such as 0-4 or 0,3,7')
    add('--workdir', required=True, metavar='FOLDER', help='where all runs and the tables go')
    add('--jobs', type=int, default=1, metavar='N', help='seeds at a time, each on its own cores')
    return result


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a method with a seed."""

    method: str
    seed: int
    workdir: pathlib.Path
    config: dict[str, Any]
    command: list[str]

    @property
    def name(self) -> str:
        return f'{self.method}, seed {self.seed}'

    @property
    def finished(self) -> bool:
        """Whether its folder holds a finished run of just this config."""
        known = read_json(self.workdir / 'config.json') or {}
        return (self.workdir / 'result.json').exists() and known.get('config') == self.config


def methods_of(text: str) -> list[str]:
    from s4jax.search.methods import Method

    known, found = typing.get_args(Method), [name for name in text.split(',') if name]
    for name in found:
        if name not in known:
            raise UsageError(f'--methods={text}: {name} is unknown{near(name, list(known))}')
    if not found or len(set(found)) < len(found):
        raise UsageError(f'--methods={text} must name methods, each once: {",".join(known)}')
    return found


def seeds_of(text: str) -> list[int]:
    """0-4 or 0,3,7 as numbers."""
    found: list[int] = []
    for part in text.split(','):
        match = re.fullmatch(r'(\d{1,9})(?:-(\d{1,9}))?', part)
        if match is None:
            raise UsageError(f'--seeds={text} must be written as 0-4 or 0,3,7')
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + MOST_SEEDS:
            raise UsageError(f'--seeds={text}: {part} must ascend over at most {MOST_SEEDS} seeds')
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def jobs_of(
    options: argparse.Namespace, overrides: list[tuple[str, str]], workdir: pathlib.Path
) -> list[list[Job]]:
    """The runs, seed by seed; every config is checked before anything is run."""
    from s4jax import config, config_file

    for key in ('search.method', 'seed'):
        if key in dict(overrides):
            raise UsageError(f'--config.{key} is set by --methods and --seeds: leave it out')
    result = []
    for seed in seeds_of(options.seeds):
        jobs = []
        for method in methods_of(options.methods):
            own = [*overrides, ('search.method', method), ('seed', str(seed))]
            checked = config.read(config_file.read(options.config, own)).model_dump(mode='json')
            folder = workdir / method / f'seed-{seed}'
            command = [sys.executable, '-m', 's4jax.main', f'--config={options.config}']
            command += [f'--workdir={folder}', f'--share={workdir / "shared"}']
            command += [f'--config.{key}={text}' for key, text in own]
            jobs.append(Job(method, seed, folder, checked, command))
        result.append(jobs)
    return result


class Runner:
    """Runs jobs as processes of their own; a signal ends them all, each saved."""

    def __init__(self, at_once: int):
        self.at_once, self.stopping = at_once, False
        self.processes: set[subprocess.Popen] = set()
        self.failed: list[str] = []
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
        self.cores: queue.Queue[list[int]] = queue.Queue()
        for k in range(at_once):
            self.cores.put(cores[k::at_once])

    def run(self, jobs: Sequence[Job]) -> None:
        """One seed: its methods one after the other, since they have trainings in common."""
        cores = self.cores.get()
        try:
            for job in jobs:
                if not self.stopping and not job.finished:
                    self._run(job, cores)
        finally:
            self.cores.put(cores)

    def _run(self, job: Job, cores: list[int]) -> None:
        log = job.workdir.with_name(f'{job.workdir.name}.log')
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('a') as file:
            process = subprocess.Popen(
                job.command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
            if cores:
                os.sched_setaffinity(process.pid, cores)
            self.processes.add(process)
            if self.stopping:
                process.send_signal(signal.SIGTERM)
            code = process.wait()
            self.processes.discard(process)
        if self.stopping:
            return
        if code:
            lines = log.read_text(errors='replace').strip().splitlines() or ['it printed nothing']
            self.failed.append(f'{job.name}: exit code {code}: {lines[-1]} (all of it in {log})')
        say(f'{job.name}: {"failed" if code else "done"}')

    def stop(self) -> None:
        self.stopping = True
        for process in list(self.processes):
            process.send_signal(signal.SIGTERM)


def say(text: str) -> None:
    print(f's4jax: {text}', file=sys.stderr, flush=True)


def execute(arguments: Sequence[str]) -> int:
    flags, overrides = split_overrides(arguments)
    options = parser().parse_args(flags)
    if not 1 <= options.jobs <= (os.cpu_count() or 1):
        raise UsageError(f'--jobs={options.jobs} must be from 1 to the {os.cpu_count()} cores')

    from s4jax.runtime.files import check_folder
    from s4jax.runtime.signals import Signals

    workdir = pathlib.Path(options.workdir)
    check_folder(workdir)
    seeds, methods = jobs_of(options, overrides, workdir), methods_of(options.methods)
    runner = Runner(options.jobs)
    with Signals() as signals, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(runner.run, jobs) for jobs in seeds}
        while waiting:
            done, waiting = concurrent.futures.wait(waiting, timeout=0.5)
            for finished in done:
                finished.result()
            if signals.received is not None and not runner.stopping:
                runner.stop()
    if signals.received is not None:
        say('stopped and saved; to go on, run the same command again')
        return 128 + signals.received
    return report(seeds, methods, workdir, f'python -m s4jax.compare {shlex.join(arguments)}',
                  runner.failed)  # fmt: skip


def report(
    seeds: list[list[Job]],
    methods: list[str],
    workdir: pathlib.Path,
    command: str,
    failed: list[str],
) -> int:
    """Writes and prints the tables of what is finished; names the runs that failed."""
    from s4jax.report.comparison import files
    from s4jax.report.comparison.outcome import read
    from s4jax.report.comparison.tables import Comparison

    found = [read(j.workdir, j.method, j.seed) for jobs in seeds for j in jobs if j.finished]
    outcomes = [outcome for outcome in found if outcome is not None]
    if outcomes:
        print(files.write(Comparison(outcomes, methods), workdir, command))
    for line in failed:
        say(line)
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return execute(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        say(str(error))
        return 2


if __name__ == '__main__':
    sys.exit(main())
