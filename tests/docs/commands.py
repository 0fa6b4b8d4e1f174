"""Checks a command of the documents without doing what it says: its own program reads it."""

import configparser
import importlib
import re
import shlex

import yaml
from blocks import ROOT
from runs import run

from s4jax import config, config_file, main
from s4jax.planning import preset
from s4jax.runtime.arguments import split_overrides

ASSIGNMENT = re.compile(r'[A-Z_]+=')
FREE = ('cd', 'export', 'git')  # nothing in them is ours
STAND_IN = {'COORDINATOR': 'host0:1234', 'PROCESSES': '2', 'PROCESS': '0', 'PORT': '1234'}


def check(command: str) -> None:
    """Raises AssertionError, or the program's own error, where a command is wrong or unknown."""
    for part in re.split(r' (?:&&|\|) ', command):
        words = shlex.split(part, comments=True)
        if '>' in words:
            words = words[: words.index('>')]
        environment = {}
        while words and ASSIGNMENT.match(words[0]):
            name, _, environment[name] = words.pop(0).partition('=')
        if words:
            _check(words, environment)


def _check(words: list[str], environment: dict[str, str]) -> None:
    program, *arguments = words
    if program in ('python', '.venv/bin/python') and arguments[0] == '-m':
        _module(arguments[1], arguments[2:])
    elif program == 'make':
        _make(arguments)
    elif program in ('pip', '.venv/bin/pip'):
        _pip(arguments)
    elif program.startswith('launch/'):
        _launcher([program, *arguments], environment)
    elif program == 'sbatch':
        first = next(n for n, word in enumerate(arguments) if word.startswith('launch/'))
        _launcher(['bash', *arguments[first:]], environment)
    elif program in ('kubectl', 'sky'):
        _yaml(arguments)
    else:
        assert program in FREE, f'{program} is not known to tests/docs/commands.py'


def _module(name: str, arguments: list[str]) -> None:
    """`python -m NAME`: the config is read with its overrides; of others each flag is known."""
    if name == 's4jax.main':
        options, overrides = main.parse(arguments)
        if options.source:  # the run is not here: the demo's config stands for it
            options.source, options.config = None, 'configs/digits.py'
        if not options.help:
            values = main.load(options, overrides)
            assert preset.wanted(values) or config.read(values)
        return
    if name in ('s4jax.plan', 's4jax.compare'):
        arguments, overrides = split_overrides(arguments)
        file = next(a for a in arguments if a.startswith('--config=')).removeprefix('--config=')
        config_file.read(file, overrides)
    if name.partition('.')[0] not in ('s4jax', 'benchmarks'):
        assert name in ('pytest', 'http.server', 'venv'), f'python -m {name}'
        return
    path = ROOT / name.replace('.', '/')
    assert path.with_suffix('.py').exists() or (path / '__main__.py').exists(), f'no module {name}'
    flags = [a.partition('=')[0] for a in arguments if a.startswith('-') and a != '-']
    if not flags:
        return
    known = _help(name, arguments)
    for flag in flags:
        assert re.search(rf'(?<![\w-]){flag}(?![\w-])', known), f'{name} has no {flag}: {known}'


def _help(name: str, arguments: list[str]) -> str:
    """What a door says of its flags; of a door with commands, of the one named."""
    if name.startswith('benchmarks.'):
        return (ROOT / f'{name.replace(".", "/")}.py').read_text()
    folder = (ROOT / name.replace('.', '/')).is_dir()
    door = importlib.import_module(f'{name}.__main__' if folder else name)
    if hasattr(door, 'parser'):
        parser = door.parser()
        chosen = [parser.commands[a] for a in arguments if a in parser.commands]
        return '\n'.join(p.format_help() for p in chosen or [parser])
    return (door.__file__ and open(door.__file__).read()) or ''


def _make(arguments: list[str]) -> None:
    # touch: nothing is installed to find out what would be done
    done = run(['make', '--dry-run', *arguments], 60)
    assert done.returncode == 0, done.stderr


def _pip(arguments: list[str]) -> None:
    """The extras that are asked for exist."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    extras = setup['options.extras_require']
    for wanted in re.findall(r'\[([\w,]+)\]', ' '.join(arguments)):
        for extra in wanted.split(','):
            assert extra in extras, f'no extra {extra}'


def _launcher(words: list[str], environment: dict[str, str]) -> None:
    """The launcher prints what it would do."""
    words = [word for word in words if word != '…']
    name = next(word for word in words if word.startswith('launch/'))
    assert (ROOT / name).is_file(), f'no launcher {name}'
    done = run(words, 60, **STAND_IN | environment | {'DRY_RUN': '1', 'JAX_PLATFORMS': 'cpu'})
    assert done.returncode == 0, done.stderr
    assert done.stdout


def _yaml(arguments: list[str]) -> None:
    """The file is there and is YAML, and has the variables that are set."""
    name = next(word for word in arguments if word.startswith('launch/'))
    documents = list(yaml.safe_load_all((ROOT / name).read_text()))
    for flag, value in zip(arguments, arguments[1:]):
        if flag == '--env':
            assert value.partition('=')[0] in documents[0]['envs'], value
