"""All that is to be known of s4jax on a GPU or a TPU, in one command of under nine minutes.

    python -m benchmarks.accelerator --folder=runs/accelerator [--autoformer=PATH] [--parts=a,b]

Each part is a process of its own, with a limit; what it prints is kept in the folder, and a part
that is done is not run again. `report.md` puts all of them together, for benchmarks/RESULTS.md.
PATH is the AutoFormer folder of a clone of microsoft/Cream, whose step is then timed beside ours in
PyTorch. `--batch` is that of the steps, for a small device.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
ORACLES = tuple(  # models against the published implementations' logits and gradients
    f'tests/models/{name}.py'
    for name in ('test_vit', 'test_swin', 'test_shunted', 'clip/test_tower', 'clip/test_decoder')
)


class Part(NamedTuple):
    """A command after `python -m`, and the seconds that it may take."""

    name: str
    arguments: tuple[str, ...]
    seconds: int
    environment: tuple[tuple[str, str], ...] = ()


def parts(options: argparse.Namespace) -> Iterator[Part]:
    """What is run, what says most first."""
    half = '--dtype=bfloat16'
    step = ('benchmarks.supernet_step', f'--batch={options.batch}', half)
    torch = (f'--autoformer={options.autoformer}',) if options.autoformer else ()
    exact = (('JAX_DEFAULT_MATMUL_PRECISION', 'highest'),)
    yield Part('oracles', ('pytest', '-n', '0', *ORACLES), 120, exact)
    yield Part('vit step', (*step, '--family=vit', '--architectures=1', *torch), 120)
    scoring = ('--space=paper', f'--images={options.batch}', '--architectures=4', '--rounds=3')
    yield Part('scoring', ('benchmarks.scoring', *scoring, half), 60)
    yield Part('swin step', (*step, '--family=swin', '--architectures=1'), 90)
    yield Part('shunted step', (*step, '--family=shunted', '--architectures=1'), 90)
    yield Part('loader and augmentation', ('benchmarks.loading', '--batch=32', half), 60)
    workdir = f'--workdir={options.folder / "digits"}'
    search = ('s4jax.main', '--config=configs/digits.py', workdir, '--no-plan')
    cold = (('JAX_COMPILATION_CACHE_DIR', str(options.folder / 'compiled')),)
    yield Part('search of the digits', search, 120, cold)


def kept(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where a part's output is."""
    return folder / f'{name.replace(" ", "_")}.txt'


def run(part: Part, path: pathlib.Path) -> str:
    """'done', or why not; what the part prints goes to `path`."""
    began = time.monotonic()
    environment = os.environ | dict(part.environment) | {'PYTHONPATH': str(ROOT)}
    environment['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'  # PyTorch needs some of the memory
    command = [sys.executable, '-m', *part.arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=part.seconds
        )
    except subprocess.TimeoutExpired:
        return f'not done within {part.seconds} s'
    if done.returncode:
        return f'failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}'
    seconds = time.monotonic() - began
    text = f'{" ".join(part.arguments)}   ({seconds:.0f} s)\n\n{done.stdout.strip()}\n'
    path.write_text(text)
    return 'done'


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'runs/accelerator')
    parser.add_argument('--autoformer', default='', metavar='PATH')
    parser.add_argument('--batch', type=int, default=128, help='images of a step')
    parser.add_argument('--limit', type=int, default=530, help='seconds for all parts together')
    parser.add_argument('--parts', default='', help='those to run; all by default')
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    options.folder.mkdir(parents=True, exist_ok=True)
    began, outcomes = time.monotonic(), {}
    wanted = options.parts.split(',') if options.parts else None
    for part in parts(options):
        if wanted and part.name not in wanted:
            continue
        path = kept(options.folder, part.name)
        left = int(options.limit - (time.monotonic() - began))
        if path.exists():
            outcomes[part.name] = 'done'
        elif left < 10:
            outcomes[part.name] = 'no time left: run the same command again'
        else:
            outcomes[part.name] = run(part._replace(seconds=min(part.seconds, left)), path)
        print(f'{part.name}: {outcomes[part.name]}', flush=True)
    write(options.folder, outcomes)
    return 0 if set(outcomes.values()) == {'done'} else 1


def write(folder: pathlib.Path, outcomes: dict[str, str]) -> None:
    """All parts as one page of Markdown, with the machine and the commit."""
    from benchmarks.timing import machine

    commit = subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    lines = [f'## On an accelerator\n\n{machine()}, commit {commit or "unknown"}.']
    for name, outcome in outcomes.items():
        path = kept(folder, name)
        text = f'```\n{path.read_text().strip()}\n```' if path.exists() else outcome
        lines.append(f'### {name}\n\n{text}')
    (folder / 'report.md').write_text('\n\n'.join(lines) + '\n')
    print(folder / 'report.md')


if __name__ == '__main__':
    sys.exit(main())
